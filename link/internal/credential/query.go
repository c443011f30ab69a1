package credential

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/lsm/fiso/common/http1"
)

// queryParameter is a credential in the query.
type queryParameter struct{ name, pair string }

func newQuery(name, key string) (wireCredential, error) {
	return &queryParameter{foldName(name), url.QueryEscape(name) + "=" + url.QueryEscape(key)}, nil
}

func (p *queryParameter) apply(_ context.Context, out *http1.Outgoing) error {
	query := withoutParameters(out.Query, func(name string) bool { return name == p.name })
	if query != "" {
		query += "&"
	}
	out.Query = query + p.pair
	return nil
}

func (p *queryParameter) isOn(out *http1.Outgoing) bool { return strings.HasSuffix(out.Query, p.pair) }
func (p *queryParameter) expires() time.Time            { return time.Time{} }

// withoutParameters returns the query without the parameters whose folded name drop
// selects, all else byte for byte. Both & and ; separate, because some servers accept
// either. A parameter is removed with the separator after it, so that its neighbours
// are not joined.
func withoutParameters(query string, drop func(name string) bool) string {
	var b strings.Builder
	dropped := false
	for rest := query; rest != ""; {
		n := strings.IndexAny(rest, "&;") + 1
		if n == 0 {
			n = len(rest)
		}
		pair := strings.TrimRight(rest[:n], "&;")
		name, _, _ := strings.Cut(pair, "=")
		if name != "" && drop(foldName(name)) {
			if !dropped {
				dropped = true
				b.WriteString(query[:len(query)-len(rest)])
			}
		} else if dropped {
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	if !dropped {
		return query
	}
	kept := b.String()
	if last := query[len(query)-1]; last != '&' && last != ';' {
		// The last parameter was removed, so the separator before it has nothing to
		// separate.
		kept = trimOneSpace(kept)
	}
	return kept
}

func trimOneSpace(s string) string {
	if n := len(s); n > 0 && (s[n-1] == '&' || s[n-1] == ';') {
		return s[:n-1]
	}
	return s
}

// foldName returns the name that some servers may read: unescaped as often as it was
// escaped, in lower case, without surrounding white space and what follows a NUL or a
// bracket (many read key[] and key[0] as key), and with the dots and spaces that PHP
// reads as underscores.
func foldName(name string) string {
	for {
		next := unescape(name)
		if next == name {
			break
		}
		name = next
	}
	if i := strings.IndexAny(name, "[\x00"); i > 0 {
		name = name[:i]
	}
	return strings.ToLower(underscores.Replace(strings.TrimSpace(name)))
}

var underscores = strings.NewReplacer(".", "_", " ", "_")

// unescape decodes %XX, %uXXXX of older Windows servers (below U+0100) and + once, and
// keeps what is not an escape.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && nibble(s[i+1]) >= 0 && nibble(s[i+2]) >= 0:
			b = append(b, byte(nibble(s[i+1])<<4|nibble(s[i+2])))
			i += 2
		case strings.HasPrefix(s[i:], "%u00") && i+5 < len(s) && nibble(s[i+4]) >= 0 && nibble(s[i+5]) >= 0:
			b = append(b, byte(nibble(s[i+4])<<4|nibble(s[i+5])))
			i += 5
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func nibble(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
