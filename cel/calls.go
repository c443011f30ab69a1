package cel

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// bound is a decorator, which cel-go calls for each node, children first. It
// replaces a list of constants and the conversion of a constant by their
// values, matches() by one with bounds, and a search in a constant list of
// texts by a lookup in a set.
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

// fold evaluates a node that does not depend on variables. If the value is an
// error the node stays: the error counts only if the node is evaluated.
func fold(node interpreter.InterpretableV2) interpreter.InterpretableV2 {
	if v := node.Exec(interpreter.AsFrame(cel.NoVars())); !types.IsUnknownOrError(v) {
		return interpreter.NewConstValue(node.ID(), v)
	}
	return node
}

// inTexts is the name of "in" with a constant list of texts.
const inTexts = "@in@texts"

// newInTexts searches a constant list of texts by hash, for long lists. A text
// equals only texts, so any other value is not in the list.
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
