// Package lazyjson reads JSON without decoding it, for programs that look at a few fields
// of a document and pass the rest on. One pass checks the whole document by RFC 8259 and
// records where every value is. After that a field is found by comparing bytes, and only
// requested values are decoded.
//
//	var d lazyjson.Doc
//	if err := d.Parse(record); err != nil { … }
//	id := d.Root().Member("customer").Member("id")
//	out = append(out, id.Raw()...) // the record's own digits
//
// The check is that of encoding/json, with two more rules: strings must be UTF-8, and
// nesting is limited to MaxDepth. If several members have the same name, the last one
// counts, as in encoding/json.
//
// A Doc and its values must be used by one goroutine at a time. A Doc keeps the bytes that
// it was given: they must not change while the Doc or one of its values is in use.
package lazyjson

import "strconv"

// MaxDepth is how deeply objects and arrays may nest. Real events are less deep, and
// recursive readers need memory for each level.
const MaxDepth = 1000

// Kind is the type of a value.
type Kind uint8

// The kinds of JSON values. The zero Kind is that of the zero Value, which is absent.
const (
	Absent Kind = iota
	Null
	False
	True
	Number // with a fraction or an exponent, or "-0"
	Integer
	String
	Array
	Object
)

// String returns the name of the kind for a person.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case False, True:
		return "a boolean"
	case Number, Integer:
		return "a number"
	case String:
		return "a string"
	case Array:
		return "a list"
	case Object:
		return "an object"
	default:
		return "nothing"
	}
}

// SyntaxError says where a document is not valid JSON. Its text never quotes the document.
type SyntaxError struct {
	Offset int // bytes before the fault
	Fault  string
}

func (e *SyntaxError) Error() string {
	return "not valid JSON at byte " + strconv.Itoa(e.Offset) + ": " + e.Fault
}

// node is one value of the document. A document is a list of nodes, in the order in which
// the values begin, so that the children of a container follow it.
type node struct {
	start, end uint32 // the value's bytes, quotes and brackets included
	key        uint32 // where the member's name begins, after the quote; 0 outside of objects
	next       uint32 // the node after this one and its children; of an open container: the container around it
	count      uint32 // children of a container; of an open container: the children so far of the container around it
	kind       Kind
	special    bool  // a string with escapes or non-ASCII characters
	keyLen     uint8 // length of the member's name, or unknownLen
}

// unknownLen is the keyLen of a name that is longer than 254 bytes or not plain ASCII.
const unknownLen = 255
