package urlpath

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// segments refuses segments that a server may resolve: dots, empty ones, and those that
// become one of these when a server strips parameters or blanks, or cuts the path.
func segments(canon string) error {
	for rest := canon[1:]; ; {
		segment, after, more := strings.Cut(rest, "/")
		switch {
		case isDotSegment(segment):
			return ErrDots
		case isBlankSegment(segment) && (more || segment != ""):
			return ErrEmptySegment // the last may be empty: a trailing slash
		case !more:
			return nil
		}
		rest = after
	}
}

// isDotSegment reports whether a segment is "." or "..", or has one between escaped
// slashes: nginx, for example, reads /public/..%2Fadmin as /admin.
func isDotSegment(segment string) bool {
	if strings.IndexByte(segment, '%') >= 0 {
		segment = codePageBackslashes.Replace(segment)
	}
	for part := range strings.SplitSeq(segment, "%2F") {
		if len(part) > 2 && strings.IndexByte(part, '%') < 0 && strings.IndexByte(part, ';') < 0 && strings.IndexByte(part, '+') < 0 {
			continue // nothing in it is stripped
		}
		name := strings.Map(func(r rune) rune {
			if r == '+' || isIgnored(r) {
				return -1 // "+" is a blank in forms
			}
			return r
		}, decoded(upToFirst(part, ";", "%3B", "%3F", "%23")))
		if name == "." || name == ".." {
			return true
		}
	}
	return false
}

// codePageBackslashes are characters that Windows code pages map to a backslash (yen in
// 932, won in 949). They are allowed in paths, except beside dots.
var codePageBackslashes = strings.NewReplacer("%C2%A5", "%2F", "%E2%82%A9", "%2F")

// isBlankSegment reports whether a segment without its parameters has only blanks. A
// server that cuts at "?" or "#" sees a trailing slash, which is left to the rules.
func isBlankSegment(segment string) bool {
	name := withoutParameters(segment)
	if !strings.HasPrefix(name, "%") {
		return name == ""
	}
	name = upToFirst(name, "%3F", "%23")
	return name != "" && strings.TrimFunc(decoded(name), isIgnored) == ""
}

// isIgnored reports whether some servers strip or ignore a character: NFKC_Casefold
// removes invisible characters.
func isIgnored(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// withoutParameters returns a segment without its parameters (";x"), plain or escaped.
func withoutParameters(segment string) string { return upToFirst(segment, ";", "%3B") }

// upToFirst returns the text before the first of the marks, each of which is ";" or an
// escape.
func upToFirst(text string, marks ...string) string {
	for i := 0; i < len(text); i++ {
		if text[i] != ';' && text[i] != '%' {
			continue
		}
		for _, mark := range marks {
			if strings.HasPrefix(text[i:], mark) {
				return text[:i]
			}
		}
	}
	return text
}

// decoded returns a canonical text with its escapes decoded.
func decoded(canon string) string {
	if strings.IndexByte(canon, '%') < 0 {
		return canon
	}
	b := make([]byte, 0, len(canon))
	for i := 0; i < len(canon); i++ {
		if c, ok := unescape(canon, i); canon[i] == '%' && ok {
			b = append(b, c)
			i += 2
		} else {
			b = append(b, canon[i])
		}
	}
	return string(b)
}

// compatibilityForm returns a canonical path as seen by a server that maps characters
// to compatible ones (NFKC, or the best fit of a code page): "／" becomes a slash, and
// "‥" two dots. Other characters stay. changed is false if nothing was mapped.
func compatibilityForm(canon string) (folded string, changed bool) {
	var b []byte
	done := 0
	for i := 0; i+2 < len(canon); {
		if canon[i] != '%' || digit(canon[i+1]) < 8 {
			i++
			continue
		}
		n := 3 // length of the escapes of one character
		for i+n+2 < len(canon) && canon[i+n] == '%' && digit(canon[i+n+1])&^3 == 8 {
			n += 3
		}
		if as := mappedDelimiters(decoded(canon[i : i+n])); as != "" {
			b = append(append(b, canon[done:i]...), as...)
			done = i + n
		}
		i += n
	}
	if b == nil {
		return canon, false
	}
	return string(append(b, canon[done:]...)), true
}

// codePageDelimiters are characters that Windows code pages map to a slash and NFKC
// does not.
var codePageDelimiters = map[rune]string{'\u2044': "/", '\u2215': "/", '\u2216': "/"}

// mappedDelimiters returns the canonical form of what a character is mapped to, if that
// has a delimiter or a dot; else "".
func mappedDelimiters(character string) string {
	r, _ := utf8.DecodeRuneInString(character)
	if as := codePageDelimiters[r]; as != "" {
		return as
	}
	mapped := norm.NFKC.String(character)
	if mapped == character || !strings.ContainsAny(mapped, `/\.;?#%`) {
		return ""
	}
	var b []byte
	for i := range len(mapped) {
		switch c := mapped[i]; {
		case c == '\\':
			b = append(b, '/')
		case c == '/' || classes[c] == asIs || c == ';':
			b = append(b, c)
		default:
			b = appendEscape(b, c)
		}
	}
	return string(b)
}
