package config

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// byteOrderMark at the begin of a file is left out (see Decode).
const byteOrderMark = '\ufeff'

// guardEncoding refuses what is no text: the library would drop or guess it.
func guardEncoding(text string) *fault {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return &fault{code: CodeSyntax, at: position{1, 1}, said: plainSentence("the file begins with the byte order mark of UTF-16"), hinted: plainSentence("save it as UTF-8")}
	}
	line, column := 1, 1
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return &fault{code: CodeSyntax, at: position{line, column}, said: plainSentence("the file is not valid UTF-8"), hinted: plainSentence("save it as UTF-8")}
			}
		}
		if r == byteOrderMark {
			return &fault{code: CodeSyntax, at: position{line, column}, said: plainSentence("a byte order mark (U+FEFF) inside of the file"),
				hinted: plainSentence("remove it; editors do not show it, and where it is meant, write it as \\ufeff in double quotes")}
		}
		if r < ' ' && r != '\t' && r != '\n' || r == 0x7f {
			return &fault{code: CodeSyntax, at: position{line, column}, said: newSentence("a control character (%U) in the file", r),
				hinted: plainSentence("remove it, or write it as an escape in double quotes")}
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

// quoted is what the library quotes of the file: a character it may, no more.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.){2,}"`)

func syntaxFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	f = &fault{code: CodeSyntax, at: position{1, 1}}
	message := "not valid YAML"
	// Not err.Error: it draws the file around the fault, in square time.
	var syntax interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &syntax) {
		message += ": " + quoted.ReplaceAllString(syntax.GetMessage(), "it")
		if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
			f.at = position{max(1, tk.Position.Line), max(1, tk.Position.Column)}
		}
	}
	f.hinted = plainSentence(syntaxHint(message))
	f.said = plainSentence(strings.ReplaceAll(message, "\t", `\t`))
	return f
}

// syntaxHint is what to do about the faults that people make most.
func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "\t"):
		return "indent with spaces; YAML allows no tabs there"
	case strings.Contains(message, "is a reserved character"):
		return "a text that begins with it needs quotes"
	case strings.Contains(message, "mapping value is not allowed"):
		return "a text with a colon and a blank in it needs quotes"
	case strings.Contains(message, "could not find end character of"):
		return "close the quotes"
	}
	return ""
}
