package config

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// byteOrderMark is removed from the begin of a file (see Decode).
const byteOrderMark = '\ufeff'

// guardEncoding refuses bytes that are not text, which the library would drop or reinterpret.
func guardEncoding(text string) *fault {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return &fault{code: CodeSyntax, at: position{1, 1}, message: plainSentence("the file begins with the byte order mark of UTF-16"),
			hint: plainSentence("save it as UTF-8")}
	}
	line, column := 1, 1
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return &fault{code: CodeSyntax, at: position{line, column}, message: plainSentence("the file is not valid UTF-8"), hint: plainSentence("save it as UTF-8")}
			}
		}
		if r == byteOrderMark {
			return &fault{code: CodeSyntax, at: position{line, column}, message: plainSentence("a byte order mark (U+FEFF) inside of the file"),
				hint: plainSentence("remove it; editors do not show it, and where it is meant, write it as \\ufeff in double quotes")}
		}
		if r < ' ' && r != '\t' && r != '\n' || r == 0x7f {
			return &fault{code: CodeSyntax, at: position{line, column}, message: newSentence("a control character (%U) in the file", r),
				hint: plainSentence("remove it, or write it as an escape in double quotes")}
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

// quoted matches texts of the file in the library's messages, except single characters.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.){2,}"`)

func syntaxFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	f = &fault{code: CodeSyntax, at: position{1, 1}}
	message := "not valid YAML"
	// err.Error would draw the file around the fault, in quadratic time.
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
	f.hint = plainSentence(syntaxHint(message))
	f.message = plainSentence(strings.ReplaceAll(message, "\t", `\t`))
	return f
}

// syntaxHint returns what to do about the most common faults.
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
