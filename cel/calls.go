package cel

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// bound is what a node is replaced by, before anything else is: a list of constants and the conversion of a constant by
// their values, matches() by one with bounds, a search in a constant list of texts by a look into a set. It is a decorator:
// cel-go calls it for each node, children first.
func bound(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch node := node.(type) {
	case interpreter.InterpretableConst:
	case interpreter.InterpretableConstructor:
		if node.Type() == types.ListType && constant(node.InitVals()...) {
			return fold(node), nil
		}
	case interpreter.InterpretableCall:
		args := node.Args()
		switch {
		case node.Function() == "matches" && len(args) == 2:
			return newMatches(node)
		case node.OverloadID() == overloads.InList:
			return newInTexts(node), nil
		case len(args) == 1 && constant(args[0]) && (node.Function() == overloads.TypeConvertTimestamp || node.Function() == overloads.TypeConvertDuration):
			return fold(node), nil
		}
	}
	return node, nil
}

func constant(nodes ...interpreter.InterpretableV2) bool {
	for _, n := range nodes {
		if _, ok := n.(interpreter.InterpretableConst); !ok {
			return false
		}
	}
	return true
}

// fold is a node whose value does not depend on variables, as that value. An error
// stays what it is: nobody may ask for it.
func fold(node interpreter.InterpretableV2) interpreter.InterpretableV2 {
	if v := node.Exec(interpreter.AsFrame(cel.NoVars())); !types.IsUnknownOrError(v) {
		return interpreter.NewConstValue(node.ID(), v)
	}
	return node
}

// inTexts is the name of in with a constant list of texts in a program.
const inTexts = "@in@texts"

// newInTexts searches a constant list of texts by hashing, which matters where the list is long. A text equals texts only,
// so every other value is not in the list.
func newInTexts(call interpreter.InterpretableCall) interpreter.InterpretableCall {
	constant, ok := call.Args()[1].(interpreter.InterpretableConst)
	if !ok {
		return call
	}
	list, ok := constant.Value().(traits.Lister)
	if !ok {
		return call
	}
	texts := map[types.String]bool{}
	for it := list.Iterator(); it.HasNext() == types.True; {
		text, ok := it.Next().(types.String)
		if !ok {
			return call
		}
		texts[text] = true
	}
	search := func(args ...ref.Val) ref.Val {
		text, ok := args[0].(types.String)
		return types.Bool(ok && texts[text])
	}
	return interpreter.NewCall(call.ID(), inTexts, call.OverloadID(), call.Args(), search)
}
