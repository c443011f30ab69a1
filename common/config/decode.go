package config

// Pos is a place in a file. Line and Column count from 1, in characters.
type Pos struct {
	File         string
	Line, Column int
}

// Text is a string that remembers where its text stood, for languages inside
// of the configuration (CEL) whose errors have positions of their own.
type Text struct {
	Value string
	// pos and the shape of the scalar come with the decoder.
}

// Raw is a part of a file that is decoded later, when its type is known.
type Raw struct{}

// Defaults sets every field of *v that is zero and has a default tag, nested
// structs included. It panics when a default tag does not parse (a programming
// error that a test of the package finds).
func Defaults(v any) {}

// Fault is a fault of one field, for use in Validate: key is the path of yaml
// keys below the struct, such as "sasl.password", and the decoder turns it
// into a position.
func Fault(key, format string, args ...any) error { return nil }
