package transform

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// keyAttribute is an attribute that selects a member or an element, as
// data.code does in data.prices[data.code]. cel-go does not evaluate such a
// node: it resolves the attribute and makes a qualifier of the value. So the
// value is made plain here. The node must stay an attribute, because in
// data.prices[data.skus[data.code]] it has a qualifier of its own.
type keyAttribute struct {
	interpreter.InterpretableAttribute
	factory interpreter.AttributeFactory
}

func (k keyAttribute) Eval(a interpreter.Activation) ref.Val { return k.Exec(interpreter.AsFrame(a)) }

func (k keyAttribute) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return deep.apply(k.InterpretableAttribute.Exec(f))
}

// Resolve returns the value of the key.
func (k keyAttribute) Resolve(vars interpreter.Activation) (any, error) {
	v, err := k.InterpretableAttribute.Resolve(vars)
	if err != nil {
		return nil, err
	}
	if v, ok := v.(ref.Val); ok {
		plain := deep.apply(v)
		if err, failed := plain.(*types.Err); failed {
			return nil, err
		}
		return plain, nil
	}
	return v, nil
}

// Qualify returns the member or element of an object or list.
func (k keyAttribute) Qualify(vars interpreter.Activation, object any) (any, error) {
	q, err := k.qualifier(vars)
	if err != nil {
		return nil, err
	}
	return q.Qualify(vars, object)
}

// QualifyIfPresent is Qualify for has() and optional selection.
func (k keyAttribute) QualifyIfPresent(vars interpreter.Activation, object any, presenceOnly bool) (any, bool, error) {
	q, err := k.qualifier(vars)
	if err != nil {
		return nil, false, err
	}
	return q.QualifyIfPresent(vars, object, presenceOnly)
}

func (k keyAttribute) qualifier(vars interpreter.Activation) (interpreter.Qualifier, error) {
	v, err := k.Resolve(vars)
	if err != nil {
		return nil, err
	}
	return k.factory.NewQualifier(nil, k.ID(), v, k.IsOptional())
}
