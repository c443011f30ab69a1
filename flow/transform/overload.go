package transform

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/lsm/fiso/flow/internal/celjson"
)

// The hints for operands that do not fit, when a flow loads and when an event is there.
const (
	mixedNumbers = "CEL does not mix whole numbers and decimals: write double(…) around the whole one"
	mixedTexts   = "make both sides text with string(…), or both numbers with int(…) or double(…)"
	mixedSigns   = "a whole number from 2^63 on is a uint: write uint(…) around the other one"
	bigNumber    = "a number is too large for CEL to calculate with: string(…) gives its digits, double(…) rounds it"
)

// arithmetic are the operators that do not mix types.
var arithmetic = map[string]bool{operators.Add: true, operators.Subtract: true, operators.Multiply: true, operators.Divide: true, operators.Modulo: true}

// mixed is the hint for an operator that knows no such overload for the values of this event, or "".
func (x *expression) mixed(node ast.Expr, v *vars) string {
	if node == nil || node.Kind() != ast.CallKind {
		return ""
	}
	call := node.AsCall()
	kinds := map[types.Kind]bool{}
	for _, arg := range call.Args() {
		kinds[x.kindOf(arg, v)] = true
	}
	unknown := kinds[types.DynKind]
	switch {
	case kinds[bigKind]:
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

// bigKind stands for a celjson.Big, which has no kind of its own in CEL.
const bigKind = types.StructKind

// kindOf is the kind of an operand: of the value where it is a place in data, else as far as the checker knew it.
func (x *expression) kindOf(e ast.Expr, v *vars) types.Kind {
	if p := pathOf(e); p != nil && p.root == varData {
		found, _ := p.find(v.root())
		switch celjson.Of(found).(type) {
		case types.Int:
			return types.IntKind
		case types.Uint:
			return types.UintKind
		case *celjson.Number:
			return types.DoubleKind
		case celjson.Big:
			return bigKind
		case types.String:
			return types.StringKind
		}
		return types.UnspecifiedKind
	}
	return x.whole.GetType(e.ID()).Kind()
}
