package urlpath

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The reasons why a path is refused. The caller sees their texts, which quote nothing
// of the path.
var (
	ErrNoSlash      = errors.New("the path does not begin with a slash")
	ErrDots         = errors.New("the path has a segment of dots (. or ..)")
	ErrEmptySegment = errors.New("the path has an empty segment, as in //")
	ErrSlash        = errors.New("the path has a slash escaped as %2F; encodedSlashes: allow permits it")
	ErrBackslash    = errors.New("the path has a backslash, which some servers take for a slash")
	ErrControl      = errors.New("the path has a control character")
	ErrEscape       = errors.New("the path has a percent sign without two hexadecimal digits; escape it as %25")
	ErrDoubleEscape = errors.New("decoding the path twice changes it again")
	ErrNotUTF8      = errors.New("the path is not UTF-8; escape its bytes as %XX")
	ErrCharacter    = errors.New("the path has a character that cannot stand in one")
)

// Path returns the canonical form of the path of an origin-form request target, without
// its query. slashes permits %2F within a segment, where it stays escaped. A path that
// is already canonical is returned without an allocation.
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

// class says how a plain character of a path is treated.
type class uint8

const (
	refused class = iota
	asIs
	escaped   // the canonical form escapes it
	backslash // refused with a separate error
	control   // likewise
	percent
	parameter // ";"
	nonASCII  // refused: it must be escaped
)

const (
	unreserved    = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	subDelimiters = "!$&'()*+,=:@" // of RFC 3986, except ";"
	unwise        = "\"<>^`{|}[]"  // sent plain by some clients; nobody takes them for delimiters
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
	return c // the rest is refused: "#", "?" and the space end a path
}()

const upperHex = "0123456789ABCDEF"

func appendEscape(b []byte, c byte) []byte {
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

// rewrite makes the canonical form. It does not check segments.
func rewrite(raw string, slashes bool) (string, error) {
	out := make([]byte, 0, len(raw)+16)
	decodedOnce := make([]byte, 0, len(raw)) // the path as seen by a server that decodes once
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch classes[c] {
		case asIs, parameter:
			out, decodedOnce = append(out, c), append(decodedOnce, c)
		case escaped:
			out, decodedOnce = appendEscape(out, c), append(decodedOnce, c)
		case percent:
			d, ok := unescape(raw, i)
			if !ok {
				return "", ErrEscape
			}
			i += 2
			if err := refuseHidden(d, slashes); err != nil {
				return "", err
			}
			if decodedOnce = append(decodedOnce, d); strings.IndexByte(unreserved, d) >= 0 {
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
	if !utf8.Valid(decodedOnce) {
		return "", ErrNotUTF8 // also refuses overlong forms: some servers took %C0%AF for a slash
	}
	if hasEscape(decodedOnce) {
		return "", ErrDoubleEscape
	}
	return string(out), nil
}

// refuseHidden refuses escapes of characters that must not be hidden.
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

// unescape decodes the escape that begins at i.
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

// hasEscape reports whether text that was decoded once still has an escape, standard or
// of the form %u002F, which some servers decode.
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
