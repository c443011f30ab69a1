package lazyjson

import "bytes"

// fault is the kind of a syntax error.
type fault uint8

const (
	fine fault = iota
	truncated
	noValue
	noLiteral
	noName
	noColon
	noComma
	noCommaInList
	more
	tooDeep
	leadingZero
	noDigit
	noEscape
	noHex
	control
	notUTF8
	byteOrderMark
)

var faults = [...]string{
	fine:          "",
	truncated:     "it ends too early",
	noValue:       "not the beginning of a value",
	noLiteral:     "neither true, false nor null",
	noName:        "the name of a member is missing",
	noColon:       "a colon is missing after the name of a member",
	noComma:       "a comma or } is missing after a member",
	noCommaInList: "a comma or ] is missing after an element",
	more:          "there is more after the end of the value",
	tooDeep:       "it nests deeper than 1000 levels",
	leadingZero:   "a number with a leading zero",
	noDigit:       "a digit is missing in a number",
	noEscape:      "not an escape that JSON knows",
	noHex:         "\\u needs four hexadecimal digits",
	control:       "a control character inside of a string",
	notUTF8:       "bytes that are not UTF-8",
	byteOrderMark: "a byte order mark, which JSON does not have",
}

// at returns the text of a fault at byte i. At the end of the document, every fault is that
// the document ends too early.
func (f fault) at(i int, data []byte) string {
	switch {
	case i >= len(data):
		f = truncated
	case i == 0 && bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		f = byteOrderMark
	}
	return faults[f]
}

// unseparated returns the fault of a value without a comma or closing bracket after it.
func unseparated(closer byte) fault {
	if closer == '}' {
		return noComma
	}
	return noCommaInList
}
