package cel

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// prescan refuses an expression that is too long or nests too deeply before it
// is parsed: a hundred brackets can cost a parser gigabytes. It returns the
// place (counted from 1) and the fault, or "".
func prescan(text string, maxCharacters int) (line, col int, fault string) {
	if n := utf8.RuneCountInString(text); n > maxCharacters {
		return 1, 1, fmt.Sprintf("the expression has %d characters; %d are allowed", n, maxCharacters)
	}
	if strings.TrimSpace(text) == "" {
		return 1, 1, "the expression is empty"
	}
	depth, run := 0, 0
	for i := 0; i < len(text); {
		c := text[i]
		switch c {
		case '"', '\'':
			i = skipText(text, i)
			run = 0
			continue
		case '/':
			if strings.HasPrefix(text[i:], "//") {
				i = skipTo(text, i, "\n")
				continue
			}
		case '(', '[', '{', '?':
			depth++
		case ')', ']', '}', ':':
			depth = max(depth-1, 0)
		case '!', '-':
			run++
		}
		if c != '!' && c != '-' && c != ' ' {
			run = 0
		}
		if depth > maxNesting || run > maxNesting {
			line, col := place(text, i)
			return line, col, fmt.Sprintf("the expression nests deeper than %d levels", maxNesting)
		}
		i++
	}
	return 0, 0, ""
}

// skipText returns the end of the string literal that begins at i.
func skipText(text string, i int) int {
	raw := i > 0 && text[i-1]|0x20 == 'r'
	quote := text[i : i+1]
	if strings.HasPrefix(text[i:], strings.Repeat(quote, 3)) {
		quote = text[i : i+3]
	}
	for i += len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		case text[i] == '\n' && len(quote) == 1:
			return i // not closed: the parser reports it
		}
	}
	return len(text)
}

func skipTo(text string, i int, end string) int {
	if n := strings.Index(text[i:], end); n >= 0 {
		return i + n
	}
	return len(text)
}

// place returns the line and column of a byte, both counted from 1, in
// characters.
func place(text string, i int) (line, col int) {
	before := text[:i]
	line = strings.Count(before, "\n") + 1
	return line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}
