package celjson

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// Big is the text of a number that CEL's numbers cannot hold: an integer beyond
// 64 bits, which is mostly an identifier, or a number beyond the range of a
// double. As doubles, two identifiers could become equal. A Big equals only a
// Big with the same text. string() and JSON give the text, double() rounds it.
// As the left operand of <, <=, > or >= it is ordered exactly. Every other CEL
// function refuses it.
type Big string

// BigType is the type of a Big in CEL.
var BigType = types.NewObjectType("bignumber", traits.ComparerType)

var _ traits.Comparer = Big("")

// Compare orders by value.
func (b Big) Compare(other ref.Val) ref.Val {
	switch other := other.(type) {
	case Big:
		return b.compareBig(other)
	case types.Int, types.Uint:
		return b.sign() // beyond all of these
	case types.Double:
		return b.compareDouble(float64(other))
	}
	return types.MaybeNoSuchOverloadErr(other)
}

func (b Big) sign() types.Int {
	if b[0] == '-' {
		return -1
	}
	return 1
}

func (b Big) isInteger() bool { return !strings.ContainsAny(string(b), ".eE") }

func (b Big) compareBig(o Big) ref.Val {
	if b.isInteger() && o.isInteger() && b.sign() == o.sign() {
		order := cmp.Or(cmp.Compare(len(b), len(o)), strings.Compare(string(b), string(o)))
		return types.Int(order) * b.sign()
	}
	if order := cmp.Compare(b.float(), o.float()); order != 0 {
		return types.Int(order) // rounding never reverses an order
	}
	return types.NewErr("no such overload")
}

func (b Big) compareDouble(d float64) ref.Val {
	if math.IsNaN(d) {
		return types.NewErr("NaN values cannot be ordered")
	}
	f := b.float()
	switch {
	case f != d:
		return types.Int(cmp.Compare(f, d))
	case math.IsInf(d, 0):
		return -b.sign() // the number itself is finite
	}
	i, _ := new(big.Int).SetString(string(b), 10) // it is near a double, so it is a short integer
	return types.Int(new(big.Float).SetInt(i).Cmp(big.NewFloat(d)))
}

// float is the nearest double, or an infinity.
func (b Big) float() float64 {
	f, _ := strconv.ParseFloat(string(b), 64) // the syntax was checked
	return f
}

// Double is the nearest double, or an error beyond the range of one.
func (b Big) Double() ref.Val {
	if f := b.float(); !math.IsInf(f, 0) {
		return types.Double(f)
	}
	return types.NewErr("range error")
}

// ConvertToNative gives the text.
func (b Big) ConvertToNative(t reflect.Type) (any, error) {
	if text := reflect.TypeFor[string](); text.AssignableTo(t) {
		return string(b), nil
	}
	return nil, fmt.Errorf("type conversion error from bignumber to %v", t)
}

// ConvertToType converts to a text, which is exact, or to a double.
func (b Big) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(b)
	case types.DoubleType:
		return b.Double()
	}
	return convert(b, BigType, t)
}

// Equal compares the texts.
func (b Big) Equal(other ref.Val) ref.Val { return types.Bool(other == b) }

// Type is bignumber.
func (b Big) Type() ref.Type { return BigType }

// Value is the text.
func (b Big) Value() any { return string(b) }
