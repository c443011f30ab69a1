package transform

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/lazyjson"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/flow/internal/celjson"
)

// value evaluates the expression. Its error has a code, and no payload in it.
func (x *expression) value(v *vars) (ref.Val, error) {
	if x.path != nil {
		return x.lookup(v)
	}
	if x.native != nil {
		if is := x.native.holds(v); is != unsure {
			return types.Bool(is == yes), nil
		}
	}
	var (
		result ref.Val
		err    error
	)
	if x.cheap {
		result, _, err = x.program.Eval(v)
	} else {
		result, _, err = x.program.ContextEval(v.context(), v)
	}
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

// find is the place in data that the expression names.
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

// decodeFailed is the error of an event whose data was needed and is not JSON.
func (v *vars) decodeFailed() error { return fault.New(fault.DecodeFailed, v.undecodable) }

// failed is an error in the words given.
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
		return false, x.failed("it gave %s where true or false is due", describe(result))
	}
	return bool(b), nil
}

// text evaluates an attribute: texts are taken as they are, numbers in decimal
// with the digits they came with, timestamps in RFC 3339. Null and an optional
// without a value give false.
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
	return "", false, x.failed("it gave %s where text is due", describe(result))
}

// describe is the kind of a value, for a person.
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

// failure turns what went wrong in an evaluation into an error with a code. The
// messages of CEL may quote the event's data, so only those are passed on that
// are known not to.
func (x *expression) failure(v *vars, err error) error {
	if errors.Is(err, interpreter.InterruptError{}) {
		if v.ctx.Err() == nil || errors.Is(context.Cause(v.ctx), context.DeadlineExceeded) {
			return fault.New(fault.TransformTimeout, fmt.Errorf("%s: it gave no result within %v", x.name, v.timeout))
		}
		return fmt.Errorf("%s: %w", x.name, connector.ErrInterrupted)
	}
	if v.undecodable != nil {
		// An error in spite of CEL's && and ||, which do without an operand where the other one decides: data was needed.
		return v.decodeFailed()
	}
	if _, ok := errors.AsType[interpreter.EvalCancelledError](err); ok {
		return x.failed("it needs more than the %d steps that an expression has", maxCost)
	}
	where, missing, advice := "", "", ""
	if e, ok := errors.AsType[*types.Err](err); ok {
		if node := x.plan.nodes[e.NodeID()]; node != nil {
			where, advice = unparse(node, x.whole.SourceInfo()), x.mixed(node, v)
			if p := pathOf(node); p != nil && p.root == varData {
				if found, steps := p.find(v.root()); found.Kind() == lazyjson.Absent {
					missing = p.missing(steps)
				}
			}
		}
	}
	what := explain(err)
	switch {
	case missing != "":
		return x.failed("%s", missing)
	case where == "":
		return x.failed("%s", what)
	case what == noField:
		return x.failed("%s: %s", what, where)
	}
	if what == noOverload && advice != "" {
		return x.failed("%s in %s: %s", what, where, advice)
	}
	return x.failed("%s in %s", what, where)
}

const (
	noField    = "no such field"
	noOverload = "no such overload"
)

// harmless are the beginnings of messages of CEL that name no value.
var harmless = []string{
	noOverload, "division by zero", "modulus by zero", "integer overflow", "unsigned integer overflow", "duration overflow",
	"timestamp overflow", "index out of bounds", "index out of range", "type conversion error", "unsupported index type",
	"cannot initialize optional entry", "optional.none() dereference", "NaN values cannot be ordered", "range error", "unsupported key type",
}

// panicked is what is told of a panic in cel-go or in a function of this package. cel-go recovers it, and its value may be
// data; the fuzz targets look for these words.
const panicked = "the evaluation panicked, which is a bug: please report the expression"

// explain says in general words what went wrong.
func explain(err error) string {
	for _, known := range []error{celjson.ErrTooLarge, errWork, errPattern} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	message := err.Error()
	if strings.HasPrefix(message, "internal error: ") {
		return panicked
	}
	if strings.HasPrefix(message, "no such key") {
		return noField
	}
	for _, h := range harmless {
		if strings.HasPrefix(message, h) {
			return h
		}
	}
	return "it cannot be worked out for these values"
}
