// Package terminal makes foreign text, such as a dead letter or a server's answer,
// safe to print on a terminal: it can neither control the terminal nor look like a
// line of the program's own.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with all characters that are not visible escaped as in Go (\x1b,
// \u202e), except line breaks and tabs.
func Text(s string) string { return escape(s, "\n\t") }

// Line is Text for one line: it escapes line breaks and tabs too.
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
