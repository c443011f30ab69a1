package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pos is a position in a file. Line and Column count from 1, in characters.
type Pos struct {
	File         string
	Line, Column int
}

// String formats the position as file:line:column, as compilers do.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// The codes of an Error. They are stable, so scripts may use them.
const (
	CodeUnknownKey       = "UNKNOWN_KEY"
	CodeWrongType        = "WRONG_TYPE"
	CodeBadValue         = "BAD_VALUE"
	CodeMissingKey       = "MISSING_KEY"
	CodeDuplicateKey     = "DUPLICATE_KEY"
	CodeSyntax           = "SYNTAX"
	CodeTooLarge         = "TOO_LARGE"
	CodeTooDeep          = "TOO_DEEP"
	CodeTooManyAliases   = "TOO_MANY_ALIASES"
	CodeBadInterpolation = "BAD_INTERPOLATION"
	CodeCEL              = "CEL"
)

// Error is one fault of a file, described for its author.
type Error struct {
	Pos     Pos
	Line    string // the line of the file with secrets masked; "" when there is none
	Key     string // path of the key, such as sink.config.url
	Message string
	Hint    string // what to do, or ""
	Code    string // one of the Code constants

	span          int      // number of characters to underline
	masked        bool     // the fault is behind the end of Line, which ends with the mask
	message, hint sentence // texts of Message and Hint before finishErrors
	parsed        bool     // found by the parser, which knows no keys
}

// Error returns the position and the message, then the line and, under a caret, the hint.
func (e *Error) Error() string {
	var b strings.Builder
	if at := e.Pos.String(); at != "" {
		b.WriteString(at + ": ")
	}
	b.WriteString(printable(e.Message))
	if e.Line == "" || e.Pos.Column < 1 {
		if e.Hint != "" {
			b.WriteString("\n  " + printable(e.Hint))
		}
		return b.String()
	}
	line, column := window([]rune(e.Line), e.Pos.Column)
	if e.masked {
		line, column = window([]rune(e.Line), len([]rune(e.Line))-len(Mask)+1)
	}
	span := e.span
	if e.masked {
		span = len(Mask)
	}
	number := fmt.Sprint(e.Pos.Line)
	fmt.Fprintf(&b, "\n  %s | %s", number, printable(string(line)))
	fmt.Fprintf(&b, "\n  %s | %s", strings.Repeat(" ", len(number)), padding(line, column-1))
	b.WriteString(strings.Repeat("^", max(1, min(span, len(line)-column+1))))
	if e.Hint != "" {
		b.WriteString(" " + printable(e.Hint))
	}
	return b.String()
}

// MarshalJSON writes the error as --output json shows it.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Key     string `json:"key,omitempty"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}{e.Pos.File, e.Pos.Line, e.Pos.Column, e.Key, e.Code, e.Message, e.Hint})
}

// Errors are all faults of a file, in order of their positions.
type Errors []*Error

// Error returns the texts of all faults.
func (e Errors) Error() string {
	parts := make([]string, len(e))
	for i, fault := range e {
		parts[i] = fault.Error()
	}
	return strings.Join(parts, "\n")
}

// Unwrap lets errors.As find the first *Error.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, fault := range e {
		errs[i] = fault
	}
	return errs
}

// Join joins the faults of several steps (a file, its Raw parts, its expressions) into one
// Errors in order, or returns nil if there are none. An error without a position comes first.
func Join(errs ...error) error {
	var all Errors
	for _, err := range flatten(errors.Join(errs...)) {
		var positioned *Error
		if !errors.As(err, &positioned) {
			positioned = &Error{Code: CodeBadValue, Message: err.Error()}
		}
		all = append(all, positioned)
	}
	if len(all) == 0 {
		return nil
	}
	return all.sorted()
}

// sorted sorts by position and drops duplicates, which occur when a Validate calls that of an
// embedded struct.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), a.Pos.Line-b.Pos.Line, a.Pos.Column-b.Pos.Column)
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(e, func(x *Error) bool {
		id := x.Pos.String() + "\x00" + x.Key + "\x00" + x.Message
		again := seen[id]
		seen[id] = true
		return again
	})
}

// maxShown is how many characters of a long line are shown around a fault.
const maxShown = 120

// window cuts a long line to the characters around column.
func window(line []rune, column int) ([]rune, int) {
	if len(line) <= maxShown {
		return line, min(column, len(line)+1)
	}
	column = min(column, len(line)+1)
	from := min(max(0, column-1-maxShown/2), len(line)-maxShown)
	to := from + maxShown
	shown := slices.Clone(line[from:to])
	if from > 0 {
		shown[0] = '…'
	}
	if to < len(line) {
		shown[len(shown)-1] = '…'
	}
	return shown, column - from
}

// padding returns n characters of space with the tabs of line, so that the caret is aligned.
func padding(line []rune, n int) string {
	pad := make([]rune, n)
	for i := range pad {
		pad[i] = ' '
		if i < len(line) && line[i] == '\t' {
			pad[i] = '\t'
		}
	}
	return string(pad)
}

// printable replaces characters that would control a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, s)
}
