package transform

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/lsm/fiso/common/lazyjson"
)

// truthValue is the result of a condition. cel-go defines what an expression means.
// Conditions made of comparisons, has(), in and the like over places in the event
// are evaluated here first, over the bytes. The result is yes or no only if cel-go
// would return true or false. Everything else, including all errors, is undecided,
// and cel-go evaluates the expression. "no and undecided" is no, because in CEL
// "false && error" is false.
type truthValue uint8

const (
	undecided truthValue = iota
	no
	yes
)

func truthOf(b bool) truthValue {
	if b {
		return yes
	}
	return no
}

// not is the negation; undecided stays undecided.
func (d truthValue) not() truthValue {
	if d == undecided {
		return undecided
	}
	return no + yes - d
}

// condition is a node that gives true or false.
type condition interface{ holds(v *vars) truthValue }

// operand is a node that gives a value.
type operand interface{ of(v *vars) scalar }

// scalar is a value. For lists and objects, whole has their content.
type scalar struct {
	kind  lazyjson.Kind // Absent: undecided
	text  string        // of a String; valid as long as the event's bytes
	int   int64         // of an Integer that fits into 64 bits
	float float64       // of a Number
	whole lazyjson.Value
}

func textScalar(s string) scalar { return scalar{kind: lazyjson.String, text: s} }

// scalarOf reads a value of a document, with the types of celjson.
func scalarOf(v lazyjson.Value) scalar {
	s := scalar{kind: v.Kind(), whole: v}
	switch s.kind {
	case lazyjson.String:
		s.text = v.View()
	case lazyjson.Integer:
		var ok bool
		if s.int, ok = v.Int(); !ok {
			return scalar{} // a uint or a big number: left to cel-go
		}
	case lazyjson.Number:
		if s.float = v.Float(); math.IsInf(s.float, 0) {
			return scalar{} // a big number: left to cel-go
		}
	}
	return s
}

func (s scalar) isContainer() bool { return s.kind >= lazyjson.Array }

// equal is cel-go's types.Equal: values of different types are not equal,
// except numbers.
func (s scalar) equal(t scalar) truthValue {
	switch {
	case s.kind == lazyjson.Absent || t.kind == lazyjson.Absent || s.isContainer() && t.isContainer():
		return undecided
	case s.kind == lazyjson.String && t.kind == lazyjson.String:
		return truthOf(s.text == t.text)
	}
	if order, ok := s.compare(t); ok {
		return truthOf(order == 0)
	}
	return truthOf(s.kind == t.kind)
}

// compare orders numbers, and texts byte by byte; ok is false for anything
// else.
func (s scalar) compare(t scalar) (order int, ok bool) {
	switch {
	case s.kind == lazyjson.String && t.kind == lazyjson.String:
		return strings.Compare(s.text, t.text), true
	case s.kind == lazyjson.Integer && t.kind == lazyjson.Integer:
		return compare(s.int, t.int), true
	case s.kind == lazyjson.Number && t.kind == lazyjson.Number:
		return compare(s.float, t.float), true
	case s.kind == lazyjson.Number && t.kind == lazyjson.Integer:
		return compare(s.float, float64(t.int)), true
	case s.kind == lazyjson.Integer && t.kind == lazyjson.Number:
		return compare(float64(s.int), t.float), true
	}
	return 0, false
}

func compare[N int64 | float64](a, b N) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// The operands.
type (
	constant struct{ scalar }
	member   struct{ *path }         // a place in data
	attr     struct{ name string }   // a variable that is a text
	header   struct{ name string }   // headers.name
	sizeOf   struct{ value operand } // size()
)

func (c constant) of(*vars) scalar { return c.scalar }

func (p member) of(v *vars) scalar {
	found, _ := p.find(v.root())
	return scalarOf(found)
}

func (a attr) of(v *vars) scalar {
	text, _ := v.text(a.name)
	return textScalar(text)
}

func (h header) of(v *vars) scalar {
	for i := len(v.headers) - 1; i >= 0; i-- { // the last of several counts
		if v.headers[i].Key == h.name && utf8.Valid(v.headers[i].Value) {
			return textScalar(view(v.headers[i].Value))
		} else if v.headers[i].Key == h.name {
			break
		}
	}
	return scalar{}
}

func (l sizeOf) of(v *vars) scalar {
	switch s := l.value.of(v); s.kind {
	case lazyjson.String:
		return scalar{kind: lazyjson.Integer, int: int64(utf8.RuneCountInString(s.text))}
	case lazyjson.Array:
		return scalar{kind: lazyjson.Integer, int: int64(s.whole.Len())}
	}
	return scalar{}
}
