package config

import "fmt"

// Error is one fault of a file.
type Error struct {
	Pos           Pos
	Line          string
	Key           string
	Message, Hint string
	Code          string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s (%s)", e.Pos.File, e.Pos.Line, e.Pos.Column, e.Key, e.Message, e.Hint)
}

// Errors are all faults of a file.
type Errors []*Error

func (e Errors) Error() string { return fmt.Sprint([]*Error(e)) }

// IsZero reports whether nothing was written.
func (t Text) IsZero() bool { return t.Value == "" }

// At is the place in the file of a place in the text.
func (t Text) At(line, column int) Pos { return Pos{Line: line, Column: column} }

// Error is a fault at a place in the text.
func (t Text) Error(line, col int, message, hint string) *Error {
	return &Error{Pos: t.At(line, col), Message: message, Hint: hint}
}

// Fields is a mapping of names to texts that keeps its order.
type Fields []Field

// Field is one entry of Fields.
type Field struct {
	Name  string
	Value Text
}
