package transform

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel/celjson"
)

// The four wrappers make the value of a node plain. There are four because cel-go
// distinguishes nodes by the interfaces that they implement.
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
