package transform

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/flow/internal/celjson"
)

// callNode is what a call is replaced by: matches() by one with bounds, a search in a constant list of texts by a look
// into a set, a conversion of a constant by its value; or the call itself.
func callNode(call interpreter.InterpretableCall) (interpreter.InterpretableV2, error) {
	args := call.Args()
	switch {
	case call.Function() == "matches" && len(args) == 2:
		return newMatches(call)
	case call.OverloadID() == overloads.InList:
		return newInTexts(call), nil
	case len(args) == 1 && (call.Function() == overloads.TypeConvertTimestamp || call.Function() == overloads.TypeConvertDuration):
		if _, constant := args[0].(interpreter.InterpretableConst); constant {
			// An error stays a call: nobody may ask for its value.
			if v := call.Exec(interpreter.AsFrame(cel.NoVars())); !types.IsUnknownOrError(v) {
				return interpreter.NewConstValue(call.ID(), v), nil
			}
		}
	}
	return call, nil
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

// The four wrappers do the same to four kinds of node, which cel-go tells
// apart by the interfaces that they have.
type (
	plainAttribute struct {
		interpreter.InterpretableAttribute
		how strictness
	}
	plainCall struct {
		interpreter.InterpretableCall
		how strictness
	}
	plainConstructor struct {
		interpreter.InterpretableConstructor
		how strictness
	}
	plainNode struct {
		interpreter.InterpretableV2
		how strictness
	}
)

func (n plainAttribute) Eval(a interpreter.Activation) ref.Val { return n.Exec(interpreter.AsFrame(a)) }

func (n plainAttribute) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableAttribute.Exec(f))
}

func (n plainCall) Eval(a interpreter.Activation) ref.Val { return n.Exec(interpreter.AsFrame(a)) }

func (n plainCall) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableCall.Exec(f))
}

func (n plainConstructor) Eval(a interpreter.Activation) ref.Val {
	return n.Exec(interpreter.AsFrame(a))
}

func (n plainConstructor) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableConstructor.Exec(f))
}

func (n plainNode) Eval(a interpreter.Activation) ref.Val { return n.Exec(interpreter.AsFrame(a)) }

func (n plainNode) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableV2.Exec(f))
}

// mapLiteral evaluates a map literal to a map that keeps its order.
type mapLiteral struct {
	interpreter.InterpretableConstructor
	keys, values []interpreter.InterpretableV2
	optional     []bool
}

func newMapLiteral(c interpreter.InterpretableConstructor, m ast.MapExpr) mapLiteral {
	l := mapLiteral{InterpretableConstructor: c}
	parts := c.InitVals()
	for i, entry := range m.Entries() {
		l.keys = append(l.keys, parts[2*i])
		l.values = append(l.values, parts[2*i+1])
		l.optional = append(l.optional, entry.AsMapEntry().IsOptional())
	}
	return l
}

func (l mapLiteral) Eval(a interpreter.Activation) ref.Val { return l.Exec(interpreter.AsFrame(a)) }

func (l mapLiteral) Exec(f *interpreter.ExecutionFrame) ref.Val {
	keys := make([]ref.Val, 0, len(l.keys))
	values := make([]ref.Val, 0, len(l.keys))
	for i := range l.keys {
		key := l.keys[i].Exec(f)
		if types.IsUnknownOrError(key) {
			return key
		}
		value := l.values[i].Exec(f)
		if types.IsUnknownOrError(value) {
			return value
		}
		if l.optional[i] {
			o, ok := value.(*types.Optional)
			if !ok {
				return types.NewErrWithNodeID(l.ID(), "cannot initialize optional entry from non-optional value")
			}
			if !o.HasValue() {
				continue
			}
			value = o.GetValue()
		}
		keys, values = append(keys, key), append(values, value)
	}
	return types.LabelErrNode(l.ID(), celjson.NewMap(keys, values))
}
