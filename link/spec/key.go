package spec

import (
	"fmt"
	"slices"
	"sync"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/common/config"
)

// The variables of the expression for a record's key.
const (
	KeyData    = "data" // the body as JSON
	KeyHeaders = "headers"
	KeyPath    = "path"
	KeyQuery   = "query"
	KeyMethod  = "method"
)

// keyEnvironment is made at first use, because that takes milliseconds and memory. A
// key is computed while a caller waits, so its limits are low.
var keyEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.New(cel.Config{
		Record: KeyData,
		Variables: []cel.Variable{
			{Name: KeyData, Type: types.DynType}, {Name: KeyHeaders, Type: types.NewMapType(types.StringType, types.StringType)},
			{Name: KeyPath, Type: types.StringType}, {Name: KeyQuery, Type: types.StringType}, {Name: KeyMethod, Type: types.StringType},
		},
		Libraries: []celgo.EnvOption{celgo.OptionalTypes(), ext.Strings()},
		Limits:    cel.Limits{Characters: 4 << 10, Nodes: 2000, Steps: 10_000, InterruptEvery: 10},
	})
})

// unboundedFunctions can take time or memory out of proportion to their arguments. Keys
// do not need them.
var unboundedFunctions = []string{"matches", "replace", "join", "format", "strings.quote"}

// CompileKey compiles the expression for a record's key; nil for an empty one. Its
// error is a *config.Error with its position in the file.
func CompileKey(text config.Text) (*cel.Program, error) {
	if text.IsZero() {
		return nil, nil
	}
	env, err := keyEnvironment()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	checked, faults := env.Check(text, true)
	if len(faults) > 0 {
		return nil, faults[0]
	}
	root := checked.Expr()
	fault := func(message, hint string) error {
		e := text.Error(1, 1, message, hint)
		e.Code = config.CodeCEL
		return e
	}
	switch out := checked.GetType(root.ID()); out.Kind() {
	case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.DynKind:
	default:
		return nil, fault(fmt.Sprintf("a key must be a string or a number, and this is %s", out), "convert it with string(…)")
	}
	unbounded := ""
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind && slices.Contains(unboundedFunctions, e.AsCall().FunctionName()) {
			unbounded = e.AsCall().FunctionName()
		}
	}))
	if unbounded != "" {
		return nil, fault(unbounded+" is not available for keys: its work is not bounded by the expression", "use startsWith, split, substring or a field")
	}
	program, err := env.Program(checked, root)
	if err != nil {
		return nil, fault(err.Error(), "")
	}
	return program, nil
}
