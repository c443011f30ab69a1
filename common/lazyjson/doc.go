// Package lazyjson reads JSON without decoding it, for programs that pass most
// of a document on and look at a few of its fields. One pass checks the whole
// document by RFC 8259 and notes where every value stands; after that a field is
// found by comparing bytes, and a value that nobody asks for is never decoded.
//
//	var d lazyjson.Doc
//	if err := d.Parse(record); err != nil { … }
//	id := d.Root().Member("customer").Member("id")
//	out = append(out, id.Raw()...) // the record's own digits
//
// The check is that of encoding/json, and stricter in two things: strings have
// to be UTF-8, and nesting ends at MaxDepth. Of two members with the same name
// the last one counts, as in encoding/json.
//
// A Doc and its values are for one goroutine at a time. A Doc keeps the bytes
// that it was given: they must not change while the Doc or a Value of it is in use.
package lazyjson

import "strconv"

// MaxDepth is how deeply objects and arrays may nest. Events are not deeper, and
// programs that read by recursion need memory for each level.
const MaxDepth = 1000

// Kind is what a value is.
type Kind uint8

// The kinds of JSON values. The zero Kind is that of the zero Value, which
// stands for a value that is not there.
const (
	Absent Kind = iota
	Null
	False
	True
	Number // with a fraction, an exponent, or "-0"
	Integer
	String
	Array
	Object
)

// String is the kind as a word for a person.
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

// SyntaxError says where a document stops being JSON. Its text never quotes
// the document.
type SyntaxError struct {
	Offset int // bytes before the fault
	Fault  string
}

func (e *SyntaxError) Error() string {
	return "not valid JSON at byte " + strconv.Itoa(e.Offset) + ": " + e.Fault
}

// node is one value of the document. A document is its nodes in the order in
// which the values begin, so that the children of a container follow it.
type node struct {
	start, end uint32 // the value's bytes, quotes and brackets included
	key        uint32 // where its name begins, after the quote; 0 outside of objects
	next       uint32 // the node after this one and all inside it; while it is open: the container around it
	count      uint32 // children, of a container; while it is open: those so far of the container around it
	kind       Kind
	odd        bool  // a string with escapes or more than ASCII
	keyLen     uint8 // length of its name; oddKey where that has to be read first
}

// oddKey is the length of a name that is longer, or is more than plain ASCII.
const oddKey = 255
