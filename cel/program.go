package cel

import (
	"context"
	"errors"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// Program is an expression that can be evaluated within the limits of its
// environment. It is immutable and safe for concurrent use.
type Program struct {
	program cel.Program
	whole   *ast.AST
	part    ast.Expr
	steps   uint64
	cheap   bool
}

// Program makes a program of a checked expression or a part of it. Decorators
// are called for every node, children first, after this package has bounded the
// node.
func (e *Env) Program(whole *ast.AST, part ast.Expr, decorators ...interpreter.InterpretableDecoratorV2) (*Program, error) {
	p := &Program{whole: whole, part: part, steps: e.config.Limits.Steps, cheap: isCheap(part)}
	// Not cel.OptOptimize: it makes "data.missing in []" false where it is an error, hashes what cannot be hashed, and
	// refuses to load "true || int("x") == 1".
	options := []cel.ProgramOption{cel.CustomDecoratorV2(bound)}
	for _, d := range decorators {
		options = append(options, cel.CustomDecoratorV2(d))
	}
	if !p.cheap {
		options = append(options,
			cel.CostTracking(costs{}),
			cel.CostLimit(p.steps),
			cel.CostTrackerOptions(trackers(whole, part)...),
			cel.InterruptCheckFrequency(e.config.Limits.InterruptEvery),
		)
	}
	var err error
	p.program, err = e.env.PlanProgram(ast.NewCheckedAST(ast.NewAST(part, whole.SourceInfo()), whole.TypeMap(), whole.ReferenceMap()), options...)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Cheap reports whether the program is bounded by its own length: it has no
// loop and no function that can take long. Steps are then not counted, and Eval
// ignores its context.
func (p *Program) Cheap() bool { return p.cheap }

// ErrInterrupted is returned by Eval if its context has ended.
var ErrInterrupted = errors.New("the evaluation was interrupted")

// Eval returns the value of the expression. The error is ErrInterrupted or a
// *Failure, which quotes no value. A panic in the evaluation is a *Failure.
func (p *Program) Eval(ctx context.Context, vars interpreter.Activation) (ref.Val, error) {
	var (
		value ref.Val
		err   error
	)
	if p.cheap {
		value, _, err = p.program.Eval(vars)
	} else {
		value, _, err = p.program.ContextEval(ctx, vars)
	}
	switch {
	case err == nil:
		return value, nil
	case errors.Is(err, interpreter.InterruptError{}):
		return nil, ErrInterrupted
	}
	return nil, p.failure(err)
}

// cheap is the operators and functions that take time in proportion to their
// arguments and return no more than they got. An expression of only these,
// without a loop, is bounded by its own length.
var cheap = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true,
	operators.Greater: true, operators.GreaterEquals: true, operators.In: true, operators.Index: true,
	operators.OptIndex: true, operators.OptSelect: true, operators.Negate: true, operators.Add: true,
	operators.Subtract: true, operators.Multiply: true, operators.Divide: true, operators.Modulo: true,
	"size": true, "string": true, "int": true, "uint": true, "double": true, "bool": true, "bytes": true, "type": true, "dyn": true,
	"timestamp": true, "duration": true, "contains": true, "startsWith": true, "endsWith": true, "lowerAscii": true, "upperAscii": true,
	"trim": true, "substring": true, "charAt": true, "orValue": true, "or": true, "hasValue": true, "value": true, "optional.of": true,
	"optional.none": true, "getFullYear": true, "getMonth": true, "getDate": true, "getDayOfMonth": true, "getDayOfWeek": true,
	"getDayOfYear": true, "getHours": true, "getMinutes": true, "getSeconds": true, "getMilliseconds": true,
	"math.@max": true, "math.@min": true, "math.abs": true, "math.ceil": true, "math.floor": true, "math.round": true, "math.trunc": true,
}

// maxCheap is the maximum number of calls in a cheap expression.
const maxCheap = 16

func isCheap(e ast.Expr) bool {
	calls, ok := 0, true
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.ComprehensionKind:
			ok = false
		case ast.CallKind:
			calls++
			ok = ok && cheap[e.AsCall().FunctionName()]
		}
	}))
	return ok && calls <= maxCheap
}
