package transform

import (
	"errors"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"

	"github.com/lsm/fiso/flow/internal/celjson"
)

// The variables of an expression.
const (
	varData    = "data"
	varTime    = "time"
	varSource  = "source"
	varType    = "type"
	varID      = "id"
	varSubject = "subject"
	varHeaders = "headers"
	varParent  = "parent" // the data of the whole message, where it is split
)

// variables are their names, in the order in which a message lists them.
var variables = []string{varData, varTime, varSource, varType, varID, varSubject, varHeaders}

// environment is the one CEL environment of all expressions. It is made when
// it is first needed, because that takes some milliseconds, and never changes.
var environment = sync.OnceValues(newEnvironment)

func newEnvironment() (*cel.Env, error) {
	env, err := cel.NewEnv(
		cel.Variable(varData, cel.DynType),
		cel.Variable(varTime, cel.TimestampType),
		cel.Variable(varSource, cel.StringType),
		cel.Variable(varType, cel.StringType),
		cel.Variable(varID, cel.StringType),
		cel.Variable(varSubject, cel.StringType),
		cel.Variable(varHeaders, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(varParent, cel.DynType),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Math(),
		ext.Lists(ext.ListsMaxRangeSize(maxElements)),
		ext.Sets(),
		ext.Encoders(),
		ext.Regex(),
		ext.Bindings(),
		ext.TwoVarComprehensions(),
		cel.Function("string", cel.Overload("bignumber_to_string", []*cel.Type{celjson.BigType}, cel.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.StringType) }))),
		cel.Function("double", cel.Overload("bignumber_to_double", []*cel.Type{celjson.BigType}, cel.DoubleType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.DoubleType) }))),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserErrorRecoveryLimit(8),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(),
		),
	)
	if err != nil {
		return nil, err
	}
	guards, err := guardedFunctions(env)
	if err != nil {
		return nil, err
	}
	return env.Extend(guards...)
}

// guardedFunctions replaces the functions whose work or result is out of
// proportion to their arguments by ones that look at the arguments first.
func guardedFunctions(env *cel.Env) ([]cel.EnvOption, error) {
	var options []cel.EnvOption
	for name, f := range env.Functions() {
		bindings, err := f.Bindings()
		if err != nil {
			return nil, err
		}
		var replaced []cel.FunctionOpt
		for _, o := range f.OverloadDecls() {
			if o.ID() == "json_encode_dyn" {
				replaced = append(replaced, redeclare(o, cel.UnaryBinding(jsonEncode)))
			} else if id := o.ID(); id == overloads.IntToTimestamp || id == overloads.StringToTimestamp {
				replaced = append(replaced, redeclare(o, cel.UnaryBinding(ownError(binding(bindings, id)))))
			} else if check, ok := guards[o.ID()]; ok {
				replaced = append(replaced, redeclare(o, cel.FunctionBinding(guarded(check, binding(bindings, o.ID())))))
			}
		}
		if len(replaced) > 0 {
			options = append(options, cel.Function(name, replaced...))
		}
	}
	return options, nil
}

func redeclare(o *decls.OverloadDecl, impl cel.OverloadOpt) cel.FunctionOpt {
	if o.IsMemberFunction() {
		return cel.MemberOverload(o.ID(), o.ArgTypes(), o.ResultType(), impl)
	}
	return cel.Overload(o.ID(), o.ArgTypes(), o.ResultType(), impl)
}

func binding(bindings []*functions.Overload, id string) functions.FunctionOp {
	for _, b := range bindings {
		if b.Operator != id {
			continue
		}
		switch {
		case b.Unary != nil:
			return func(args ...ref.Val) ref.Val { return b.Unary(args[0]) }
		case b.Binary != nil:
			return func(args ...ref.Val) ref.Val { return b.Binary(args[0], args[1]) }
		default:
			return b.Function
		}
	}
	return nil
}

// ownError is a function without the one error of cel-go for a timestamp out of
// range: all programs share it, and the first one labels it with its own node.
func ownError(f functions.FunctionOp) functions.UnaryOp {
	return func(arg ref.Val) ref.Val {
		v := f(arg)
		if err, ok := v.(*types.Err); ok {
			return types.WrapErr(err.Unwrap())
		}
		return v
	}
}

// jsonEncode is json.encode() as this package writes JSON: numbers keep their
// digits, and a text larger than it may be fails instead of growing.
func jsonEncode(v ref.Val) ref.Val {
	out, err := celjson.Append(nil, v, maxText)
	if errors.Is(err, celjson.ErrOutput) {
		err = celjson.ErrTooLarge
	}
	if err != nil {
		return types.WrapErr(err)
	}
	return types.String(out)
}

// programOptions bound what a program may spend. A cheap program (see
// isCheap) cannot spend much, and is spared the counting.
func programOptions(plan *plan, cheap bool) []cel.ProgramOption {
	// Not cel.OptOptimize: it makes "data.missing in []" false where it is an error, hashes what cannot be hashed, and
	// refuses to load "true || int("x") == 1". The plan folds constants itself.
	options := []cel.ProgramOption{cel.CustomDecoratorV2(plan.decorate)}
	if cheap {
		return options
	}
	return append(options,
		cel.CostTracking(costs{}),
		cel.CostLimit(maxCost),
		cel.CostTrackerOptions(plan.trackers()...),
		cel.InterruptCheckFrequency(interruptEvery),
	)
}
