// Package terminal makes text of strangers, such as what stands in a dead
// letter or what a server answered, safe to print for a person: it can neither
// steer the terminal nor pass for a line of the program's own.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is s with all that no person sees escaped as in Go (\x1b, \u202e), but
// for line breaks and tabs.
func Text(s string) string { return escape(s, "\n\t") }

// Line is Text in one line: line breaks and tabs are escaped, too.
func Line(s string) string { return escape(s, "") }

func escape(s, keep string) string {
	hidden := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) && !strings.ContainsRune(keep, r) }
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == utf8.RuneError, !hidden(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}
