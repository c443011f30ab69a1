package cel

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// Hints for operands of types that do not fit, found when an expression is checked or evaluated.
const (
	mixedNumbers = "CEL does not mix whole numbers and decimals: write double(…) around the whole one"
	mixedTexts   = "make both sides text with string(…), or both numbers with int(…) or double(…)"
	mixedSigns   = "a whole number from 2^63 on is a uint: write uint(…) around the other one"
	bigNumber    = "a number is too large for CEL to calculate with: string(…) gives its digits, double(…) rounds it"
)

// BigKind stands for celjson.Big in OperandHint, which has no kind of its own
// in CEL.
const BigKind = types.StructKind

// arithmetic is the operators that do not mix types.
var arithmetic = map[string]bool{operators.Add: true, operators.Subtract: true, operators.Multiply: true, operators.Divide: true, operators.Modulo: true}

// OperandHint says what to write instead of a call that failed with NoOverload, or
// "" if the types of its operands are not the reason. kindOf returns the kind of
// an operand.
func OperandHint(node ast.Expr, kindOf func(operand ast.Expr) types.Kind) string {
	if node == nil || node.Kind() != ast.CallKind {
		return ""
	}
	call := node.AsCall()
	kinds := map[types.Kind]bool{}
	for _, arg := range call.Args() {
		kinds[kindOf(arg)] = true
	}
	unknown := kinds[types.DynKind]
	switch {
	case kinds[BigKind]:
		return bigNumber
	case !arithmetic[call.FunctionName()]:
		return ""
	case kinds[types.StringKind]:
		return mixedTexts
	case kinds[types.IntKind] && kinds[types.UintKind]:
		return mixedSigns
	case kinds[types.DoubleKind] && (kinds[types.IntKind] || kinds[types.UintKind] || unknown), kinds[types.IntKind] && unknown:
		return mixedNumbers
	}
	return ""
}
