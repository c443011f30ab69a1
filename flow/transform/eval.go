package transform

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/lazyjson"
	"github.com/lsm/fiso/delivery/fault"
)

// value evaluates the expression. Its error has a code, and contains no
// payload.
func (x *expression) value(v *vars) (ref.Val, error) {
	if x.path != nil {
		return x.lookup(v)
	}
	if x.native != nil {
		if is := x.native.holds(v); is != undecided {
			return types.Bool(is == yes), nil
		}
	}
	ctx := v.ctx
	if !x.program.Cheap() {
		ctx = v.context()
	}
	result, err := x.program.Eval(ctx, v)
	if err != nil {
		return nil, x.failure(v, err)
	}
	return result, nil
}

func (x *expression) lookup(v *vars) (ref.Val, error) {
	if x.path.root != varData {
		name, _ := v.ResolveName(x.path.root)
		return name.(ref.Val), nil
	}
	found, err := x.find(v)
	if err != nil {
		return nil, err
	}
	return celjson.Of(found), nil
}

// find returns the value in data at the path of the expression.
func (x *expression) find(v *vars) (lazyjson.Value, error) {
	found, steps := x.path.find(v.root())
	switch {
	case found.Kind() != lazyjson.Absent:
		return found, nil
	case v.undecodable != nil:
		return found, v.decodeFailed()
	}
	return found, x.failed(x.path.missing(steps))
}

// decodeFailed is the error for data that was needed and is not JSON.
func (v *vars) decodeFailed() error { return fault.New(fault.DecodeFailed, v.undecodable) }

// failed returns an error of the transform that names the expression.
func (x *expression) failed(format string, args ...any) error {
	return fault.New(fault.TransformFailed, fmt.Errorf(x.name+": "+format, args...))
}

// bool evaluates a condition.
func (x *expression) bool(v *vars) (bool, error) {
	result, err := x.value(v)
	if err != nil {
		return false, err
	}
	if o, ok := result.(*types.Optional); ok && o.HasValue() {
		result = o.GetValue()
	}
	b, ok := result.(types.Bool)
	if !ok {
		return false, x.failed("it returned %s where true or false is expected", describe(result))
	}
	return bool(b), nil
}

// text evaluates an attribute: texts are unchanged, numbers in decimal with
// their own digits, timestamps in RFC 3339. ok is false for null and for an
// optional without a value.
func (x *expression) text(v *vars) (string, bool, error) {
	result, err := x.value(v)
	if err != nil {
		return "", false, err
	}
	return x.asText(result)
}

func (x *expression) asText(result ref.Val) (string, bool, error) {
	if o, ok := result.(*types.Optional); ok {
		if !o.HasValue() {
			return "", false, nil
		}
		result = o.GetValue()
	}
	switch result := result.(type) {
	case types.String:
		return string(result), true, nil
	case types.Int:
		return strconv.FormatInt(int64(result), 10), true, nil
	case types.Uint:
		return strconv.FormatUint(uint64(result), 10), true, nil
	case *celjson.Number:
		return string(result.Raw()), true, nil
	case celjson.Big:
		return string(result), true, nil
	case types.Bool:
		return strconv.FormatBool(bool(result)), true, nil
	case types.Null:
		return "", false, nil
	case types.Double, types.Timestamp:
		out, err := celjson.Append(nil, result, 64)
		if err != nil {
			return "", false, x.failed("%v", err)
		}
		return strings.Trim(string(out), `"`), true, nil
	}
	return "", false, x.failed("it returned %s where text is expected", describe(result))
}

// describe names the type of a value for a person.
func describe(v ref.Val) string {
	switch v.Type() {
	case types.NullType:
		return "null"
	case types.IntType, types.UintType:
		return "an " + strings.TrimPrefix(v.Type().TypeName(), "u")
	default:
		return "a " + v.Type().TypeName()
	}
}

// failure converts an error of an evaluation to one with a code.
func (x *expression) failure(v *vars, err error) error {
	if errors.Is(err, cel.ErrInterrupted) {
		if v.ctx.Err() == nil || errors.Is(context.Cause(v.ctx), context.DeadlineExceeded) {
			return fault.New(fault.TransformTimeout, fmt.Errorf("%s: it had no result within %v", x.name, v.timeout))
		}
		return fmt.Errorf("%s: %w", x.name, connector.ErrInterrupted)
	}
	if v.undecodable != nil {
		// && and || did not ignore the error, so data was needed.
		return v.decodeFailed()
	}
	f, ok := errors.AsType[*cel.Failure](err)
	if !ok || f.Node == nil {
		return x.failed("%v", err)
	}
	if p := pathOf(f.Node); p != nil && p.root == varData {
		if found, steps := p.find(v.root()); found.Kind() == lazyjson.Absent {
			return x.failed("%s", p.missing(steps))
		}
	}
	if f.Reason == cel.NoOverload {
		if hint := cel.OperandHint(f.Node, func(operand ast.Expr) types.Kind { return x.kindOf(operand, v) }); hint != "" {
			return x.failed("%v: %s", err, hint)
		}
	}
	return x.failed("%v", err)
}

// kindOf returns the kind of an operand: that of the value if it is a place in
// data, otherwise the one that the checker found.
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
			return cel.BigKind
		case types.String:
			return types.StringKind
		}
		return types.UnspecifiedKind
	}
	return x.whole.GetType(e.ID()).Kind()
}
