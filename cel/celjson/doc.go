// Package celjson lets CEL work on JSON that was not decoded, and writes CEL
// values as JSON.
//
// Objects, lists and numbers of a document become CEL values that read the
// document's bytes when they are asked, and that are written back as those very
// bytes. Null, booleans and strings become CEL's own.
//
// A JSON number is an int where it is written as an integer that 64 bits hold,
// a uint up to twice that, a double where it is written with a fraction or an
// exponent, and a Big where it is beyond these. A double remembers how it
// was written (Number) for as long as it is only carried around: 10.00 in a
// list, a branch or a literal leaves as 10.00. No function of CEL knows Number,
// so whoever hands values to functions strips it first, with Plain.
package celjson

import (
	"math"
	"strconv"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/lsm/fiso/common/lazyjson"
)

// Of is a JSON value as a CEL value. An absent value is a CEL error.
func Of(v lazyjson.Value) ref.Val { return of(v, false) }

// of makes a value; those that are plain hold no Number, also not inside.
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

// Number is a double that remembers how it was written. It is a pointer so
// that it may be a key of a Go map.
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
