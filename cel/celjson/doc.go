// Package celjson lets CEL work on JSON without decoding it, and writes CEL values
// as JSON.
//
// Objects, lists and numbers of a document become CEL values that read the
// document's bytes when they are used, and that are written as the same bytes.
// Null, booleans and strings become CEL's own values.
//
// A JSON number is an int if it is written as an integer that fits into 64 bits, a
// uint up to twice that, a double if it is written with a fraction or an exponent,
// and a Big if none of these can hold it. A double keeps its text (Number) while it
// is only passed on: 10.00 in a list, a branch or a literal is written as 10.00.
// CEL's functions do not know Number, so values must be converted with Plain before
// they are passed to a function.
package celjson

import (
	"math"
	"strconv"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/lsm/fiso/common/lazyjson"
)

// Of returns a JSON value as a CEL value. An absent value becomes a CEL error.
func Of(v lazyjson.Value) ref.Val { return of(v, false) }

// of makes a value. If plain is true the value contains no Number, at any
// level.
func of(v lazyjson.Value, plain bool) ref.Val {
	switch v.Kind() {
	case lazyjson.Null:
		return types.NullValue
	case lazyjson.False:
		return types.False
	case lazyjson.True:
		return types.True
	case lazyjson.Integer, lazyjson.Number:
		return number(v, plain)
	case lazyjson.String:
		return types.String(v.Text())
	case lazyjson.Array:
		return &list{v: v, plain: plain}
	case lazyjson.Object:
		return &object{v: v, plain: plain}
	}
	return types.NewErr("no such value")
}

// Number is a double that keeps its text. It is used as a pointer so that it
// can be a key of a Go map.
type Number struct {
	types.Double
	raw []byte
}

func number(v lazyjson.Value, plain bool) ref.Val {
	if i, ok := v.Int(); ok {
		return types.Int(i)
	}
	if v.Kind() == lazyjson.Integer {
		digits := string(v.Raw())
		if u, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return types.Uint(u)
		}
		return Big(digits)
	}
	f := v.Float()
	switch {
	case math.IsInf(f, 0):
		return Big(v.Raw())
	case plain:
		return types.Double(f)
	}
	return &Number{types.Double(f), v.Raw()}
}

// Raw is the number as it was written.
func (n *Number) Raw() []byte { return n.raw }
