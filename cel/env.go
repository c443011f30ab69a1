package cel

import (
	"errors"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"

	"github.com/lsm/fiso/cel/celjson"
)

// Config is the configuration of an environment.
type Config struct {
	// Variables are what an expression sees.
	Variables []Variable
	// Record is the variable whose field a bare name probably means, such as
	// data. Hints use it; if it is "", they suggest no field.
	Record string
	// Libraries are the extension libraries of cel-go; nil: all of Libraries.
	Libraries []cel.EnvOption
	Limits    Limits
}

// Variable is a name that an expression sees, and its type.
type Variable struct {
	Name string
	Type *types.Type
}

// Limits bound an expression and what its evaluation may cost. Zero is the default.
type Limits struct {
	Characters     int    // of one expression; default 16,384
	Nodes          int    // of one expression, macros expanded; default 10,000
	Steps          uint64 // of one evaluation, as CEL counts them; default 1,000,000, as in Kubernetes
	InterruptEvery uint   // rounds of a loop between two checks of the context; default 100
}

func (l Limits) withDefaults() Limits {
	if l.Characters == 0 {
		l.Characters = 16 << 10
	}
	if l.Nodes == 0 {
		l.Nodes = 10_000
	}
	if l.Steps == 0 {
		l.Steps = 1_000_000
	}
	if l.InterruptEvery == 0 {
		l.InterruptEvery = 100
	}
	return l
}

// Libraries returns all extension libraries whose functions this package
// bounds.
func Libraries() []cel.EnvOption {
	return []cel.EnvOption{
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Math(),
		ext.Lists(ext.ListsMaxRangeSize(maxElements)),
		ext.Sets(),
		ext.Encoders(),
		ext.Regex(),
		ext.Bindings(),
		ext.TwoVarComprehensions(),
	}
}

// Env is an environment for expressions. It is immutable and safe for
// concurrent use. Making one takes some milliseconds.
type Env struct {
	env    *cel.Env
	config Config
}

// New makes an environment.
func New(c Config) (*Env, error) {
	c.Limits = c.Limits.withDefaults()
	if c.Libraries == nil {
		c.Libraries = Libraries()
	}
	var options []cel.EnvOption
	for _, v := range c.Variables {
		options = append(options, cel.Variable(v.Name, v.Type))
	}
	options = append(options, c.Libraries...)
	options = append(options,
		cel.Function("string", cel.Overload("bignumber_to_string", []*cel.Type{celjson.BigType}, cel.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.StringType) }))),
		cel.Function("double", cel.Overload("bignumber_to_double", []*cel.Type{celjson.BigType}, cel.DoubleType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.DoubleType) }))),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(c.Limits.Characters),
		cel.ParserErrorRecoveryLimit(8),
		cel.ExpressionNodeLimit(c.Limits.Nodes),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(),
		),
	)
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	guards, err := guardedFunctions(env)
	if err != nil {
		return nil, err
	}
	if env, err = env.Extend(guards...); err != nil {
		return nil, err
	}
	return &Env{env, c}, nil
}

// CEL returns the environment of cel-go. Programs made with it are not bounded.
func (e *Env) CEL() *cel.Env { return e.env }

// guardedFunctions replaces the functions whose work or result can be out of
// proportion to their arguments by ones that check their arguments first.
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

// ownError wraps f to return an error of its own. cel-go has one shared error
// for a timestamp out of range, and the first program that gets it labels it
// with its own node.
func ownError(f functions.FunctionOp) functions.UnaryOp {
	return func(arg ref.Val) ref.Val {
		v := f(arg)
		if err, ok := v.(*types.Err); ok {
			return types.WrapErr(err.Unwrap())
		}
		return v
	}
}

// jsonEncode is json.encode(). Unlike cel-go's, it keeps the digits of numbers,
// and fails if the text exceeds MaxText.
func jsonEncode(v ref.Val) ref.Val {
	out, err := celjson.Append(nil, v, MaxText)
	if errors.Is(err, celjson.ErrOutput) {
		err = celjson.ErrTooLarge
	}
	if err != nil {
		return types.WrapErr(err)
	}
	return types.String(out)
}
