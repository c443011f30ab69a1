package target

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/common/lazyjson"
	"github.com/lsm/fiso/link/spec"
)

const (
	keyTimeout = time.Second
	maxKey     = 4 << 10 // bytes
)

// Request is the part of a call that the expression for a record's key can use.
type Request struct {
	Method, Path, Query string
	Header              http1.Header
	Body                []byte
}

// RecordKey evaluates the key of a call's record; nil: no key. An error concerns this
// call only, such as a missing field or a body that is not JSON, and does not show the
// body.
func (t *Target) RecordKey(ctx context.Context, r Request) ([]byte, error) {
	if t.key == nil {
		return nil, nil
	}
	return recordKey(ctx, t.key, r, keyTimeout)
}

func recordKey(ctx context.Context, program *cel.Program, r Request, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errSlow)
	defer cancel()
	vars := keyVars{Request: &r}
	v, err := program.Eval(ctx, &vars)
	switch {
	case err == nil:
		return keyText(v)
	case vars.undecodable:
		return nil, errNotJSON
	case errors.Is(err, cel.ErrInterrupted):
		return nil, context.Cause(ctx)
	}
	return nil, keyFailure(err)
}

var (
	errNotJSON = errors.New("the body is not JSON")
	errUnfit   = errors.New("a value of the call does not fit the expression")
	errSlow    = fmt.Errorf("the evaluation takes longer than %v", keyTimeout)
)

// keyFailure describes a failed evaluation without values of the call: a missing field,
// too many steps, or else a value that does not fit.
func keyFailure(err error) error {
	f, ok := errors.AsType[*cel.Failure](err)
	switch {
	case !ok:
		return err
	case f.Reason == cel.NoField && fieldName(f.Node) != "":
		return fmt.Errorf("no such key: %s", fieldName(f.Node))
	case f.Node == nil:
		return f
	}
	return errUnfit
}

// fieldName returns the name of the field that a node selects; "" if it is computed.
func fieldName(node ast.Expr) string {
	if node == nil {
		return ""
	}
	switch node.Kind() {
	case ast.SelectKind:
		return node.AsSelect().FieldName()
	case ast.CallKind:
		c := node.AsCall()
		if c.FunctionName() == operators.Index && c.Args()[1].Kind() == ast.LiteralKind {
			return fmt.Sprint(c.Args()[1].AsLiteral().Value())
		}
	}
	return ""
}

// keyVars are the variables of the expression. The body is parsed only if the
// expression uses it.
type keyVars struct {
	*Request
	doc         lazyjson.Doc
	data        ref.Val
	undecodable bool
}

// ResolveName implements interpreter.Activation.
func (v *keyVars) ResolveName(name string) (any, bool) {
	switch name {
	case spec.KeyMethod:
		return v.Method, true
	case spec.KeyPath:
		return v.Path, true
	case spec.KeyQuery:
		return v.Query, true
	case spec.KeyHeaders:
		return headersByName(v.Header), true
	case spec.KeyData:
		if v.data == nil {
			v.data = v.body()
		}
		return v.data, true
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (v *keyVars) Parent() interpreter.Activation { return nil }

func (v *keyVars) body() ref.Val {
	if v.doc.Parse(v.Body) != nil {
		v.undecodable = true
		return types.WrapErr(errNotJSON)
	}
	data, err := celjson.Plain(celjson.Of(v.doc.Root()), cel.MaxParts)
	if err != nil {
		return types.WrapErr(err)
	}
	return data
}

// headersByName returns the fields by lower-case name; the last one of a name counts.
func headersByName(h http1.Header) map[string]string {
	out := make(map[string]string, len(h))
	for _, f := range h {
		out[strings.ToLower(f.Name)] = f.Value
	}
	return out
}

// keyText converts a key to bytes.
func keyText(v ref.Val) ([]byte, error) {
	var s string
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.String:
		s = string(v)
	case types.Int:
		s = strconv.FormatInt(int64(v), 10)
	case types.Uint:
		s = strconv.FormatUint(uint64(v), 10)
	case celjson.Big:
		s = string(v)
	case types.Double:
		s = decimal(float64(v))
	default:
		return nil, fmt.Errorf("a key must be a string or a number, and this is of type %s", v.Type().TypeName())
	}
	if len(s) > maxKey {
		return nil, fmt.Errorf("a key can have at most %d bytes, and this has %d", maxKey, len(s))
	}
	if s == "" {
		return nil, nil
	}
	return []byte(s), nil
}

func decimal(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
