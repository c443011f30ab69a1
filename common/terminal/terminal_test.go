package terminal

import "testing"

// U22: foreign text cannot control the terminal.
func TestText_escapesControlCharacters(t *testing.T) {
	for _, tc := range []struct{ name, in, text, line string }{
		{"plain", "order 42: Größe, 価格, 😀", "order 42: Größe, 価格, 😀", "order 42: Größe, 価格, 😀"},
		{"an escape sequence", "\x1b[2Jhi\x07", `\x1b[2Jhi\x07`, `\x1b[2Jhi\x07`},
		{"the same in one character", "\u009b2J", `\u009b2J`, `\u009b2J`},
		{"backspaces and delete", "no\b\byes\x7f", `no\x08\x08yes\x7f`, `no\x08\x08yes\x7f`},
		{"a carriage return", "FAIL\rok  ", `FAIL\x0dok  `, `FAIL\x0dok  `},
		{"line breaks and tabs", "a\n\tb", "a\n\tb", `a\n\tb`},
		{"text that runs backwards", "a\u202eb", `a\u202eb`, `a\u202eb`},
		{"a character of four bytes that nobody sees", "a\U000e0041b", `a\U000e0041b`, `a\U000e0041b`},
		{"bytes that are no UTF-8", "a\xff\x00", `a\xff\x00`, `a\xff\x00`},
		{"the sign for such bytes", "\ufffd", "\ufffd", "\ufffd"},
		{"the sign beside what is hidden", "\ufffd\x00", "\ufffd\\x00", "\ufffd\\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Text(tc.in); got != tc.text {
				t.Errorf("Text is %q, want %q", got, tc.text)
			}
			if got := Line(tc.in); got != tc.line {
				t.Errorf("Line is %q, want %q", got, tc.line)
			}
		})
	}
}
