package urlpath

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The reasons for which a path is refused. Their texts are for the caller, and
// quote nothing of the path.
var (
	ErrNoSlash      = errors.New("the path does not begin with a slash")
	ErrDots         = errors.New("the path has a segment of dots, which climbs or stays")
	ErrEmptySegment = errors.New("the path has an empty segment, as in //")
	ErrSlash        = errors.New("the path hides a slash as %2F; encodedSlashes: allow lets the target have it")
	ErrBackslash    = errors.New("the path has a backslash, which some servers take for a slash")
	ErrControl      = errors.New("the path has a control character")
	ErrEscape       = errors.New("the path has a percent sign that is no escape of two hexadecimal digits")
	ErrDoubleEscape = errors.New("the path would decode to something else a second time")
	ErrNotUTF8      = errors.New("the path is not UTF-8; escape its bytes as %XX")
	ErrCharacter    = errors.New("the path has a character that cannot stand in one")
)

// Path is the canonical form of the path of an origin-form request target,
// without its query. With slashes, %2F may stand in a segment; it stays there,
// escaped. A path that has the form already is returned as it is, at no cost.
func Path(raw string, slashes bool) (string, error) {
	if raw == "" || raw[0] != '/' {
		return "", ErrNoSlash
	}
	plain := true
	for i := 0; i < len(raw) && plain; i++ {
		plain = classes[raw[i]] == asIs
	}
	if plain {
		return raw, segments(raw)
	}
	canon, err := rewrite(raw, slashes)
	if err != nil {
		return "", err
	}
	if err := segments(canon); err != nil {
		return "", err
	}
	folded, changed := compatibilityForm(canon)
	if (changed || strings.Contains(canon, "%25")) && hasEscape([]byte(norm.NFKC.String(decoded(folded)))) {
		return "", ErrDoubleEscape
	}
	if changed {
		if err := segments(folded); err != nil {
			return "", err
		}
	}
	return canon, nil
}

// class is what becomes of a character that stands plain in a path.
type class uint8

const (
	refused class = iota
	asIs
	escaped   // by us
	backslash // refused with words of its own
	control   // the same
	percent
	parameter // ";"
	nonASCII  // ASCII
)

const (
	unreserved    = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	subDelimiters = "!$&'()*+,=:@" // of RFC 3986, allowed plain, without ";"
	unwise        = "\"<>^`{|}[]"  // sent plain by some clients, and a delimiter for nobody
)

var classes = func() (c [256]class) {
	for i := range c {
		switch {
		case i < 0x20 || i == 0x7f:
			c[i] = control
		case i >= 0x80:
			c[i] = nonASCII
		case strings.IndexByte(unreserved+subDelimiters+"/", byte(i)) >= 0:
			c[i] = asIs
		case strings.IndexByte(unwise, byte(i)) >= 0:
			c[i] = escaped
		}
	}
	c['\\'], c['%'], c[';'] = backslash, percent, parameter
	return c // "#", "?" and the space are refused: they end a path
}()

const upperHex = "0123456789ABCDEF"

func appendEscape(b []byte, c byte) []byte {
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

// rewrite makes the canonical form, segments apart.
func rewrite(raw string, slashes bool) (string, error) {
	out := make([]byte, 0, len(raw)+16)
	once := make([]byte, 0, len(raw)) // what a server that decodes once sees
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch classes[c] {
		case asIs, parameter:
			out, once = append(out, c), append(once, c)
		case escaped:
			out, once = appendEscape(out, c), append(once, c)
		case percent:
			d, ok := unescape(raw, i)
			if !ok {
				return "", ErrEscape
			}
			i += 2
			if err := refuseHidden(d, slashes); err != nil {
				return "", err
			}
			if once = append(once, d); strings.IndexByte(unreserved, d) >= 0 {
				out = append(out, d)
			} else {
				out = appendEscape(out, d)
			}
		case backslash:
			return "", ErrBackslash
		case control:
			return "", ErrControl
		case nonASCII:
			return "", ErrNotUTF8
		default:
			return "", ErrCharacter
		}
	}
	if !utf8.Valid(once) {
		return "", ErrNotUTF8 // overlong forms too: %C0%AF has been a slash
	}
	if hasEscape(once) {
		return "", ErrDoubleEscape
	}
	return string(out), nil
}

// refuseHidden refuses characters that no escape may hide.
func refuseHidden(c byte, slashes bool) error {
	switch {
	case c == '/' && !slashes:
		return ErrSlash
	case c == '\\':
		return ErrBackslash
	case c < 0x20 || c == 0x7f:
		return ErrControl
	}
	return nil
}

// unescape reads the escape that begins at i.
func unescape(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, lo := digit(s[i+1]), digit(s[i+2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// hasEscape reports whether what was decoded once holds an escape, of the standard
// or of the kind %u002F, which some servers know.
func hasEscape(decoded []byte) bool {
	for i, c := range decoded {
		if c != '%' || i+1 >= len(decoded) {
			continue
		}
		next := decoded[i+1]
		if next == 'u' || next == 'U' || digit(next) < 16 && i+2 < len(decoded) && digit(decoded[i+2]) < 16 {
			return true
		}
	}
	return false
}
