package transform

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	"github.com/google/cel-go/parser"

	"github.com/lsm/fiso/common/config"
)

// want is what the result of an expression is used for.
type want int

const (
	wantJSON  want = iota // a part of the output
	wantBool              // a condition
	wantText              // an attribute
	wantBytes             // the same, or bytes
	wantList              // events
)

// expression is one CEL expression, or a part of one, ready to be evaluated.
type expression struct {
	name    string    // its key in the file, for error messages
	path    *path     // set when it only names something
	native  condition // what is certain of it without cel-go; nil when that is nothing
	program cel.Program
	cheap   bool // evaluated without counting steps
	plan    *plan
	whole   *ast.AST // that the expression is a part of
}

// compiler compiles the expressions of one flow, and collects what is wrong
// with them.
type compiler struct {
	env     *cel.Env
	factory interpreter.AttributeFactory
	faults  config.Errors
	splits  bool // what is compiled sees an element of transform.split
}

func newCompiler() (*compiler, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	factory := interpreter.NewAttributeFactory(env.Container, env.CELTypeAdapter(), env.CELTypeProvider())
	return &compiler{env: env, factory: factory}, nil
}

// check parses a text and checks its types; nil when it is at fault.
func (c *compiler) check(name string, text config.Text, want want) *ast.AST {
	if line, col, fault := prescan(text.Value); fault != "" {
		c.fault(name, text, line, col, fault, "")
		return nil
	}
	if references := configReference.FindAllStringIndex(text.Value, -1); references != nil {
		for _, at := range references {
			line, col := place(text.Value, at[0])
			c.fault(name, text, line, col, text.Value[at[0]:at[1]]+" is not followed in an expression", referenceHint)
		}
		return nil
	}
	checked, issues := c.env.Compile(text.Value)
	if errs := issues.Errors(); len(errs) > 0 {
		for _, e := range errs {
			c.fault(name, text, e.Location.Line(), e.Location.Column()+1, reword(e.Message), hint(e.Message, text.Value, want, c.env))
		}
		return nil
	}
	if fault, hint := wrongType(checked.OutputType(), want); fault != "" {
		c.fault(name, text, 1, 1, fault, hint)
		return nil
	}
	a := checked.NativeRep()
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case e.Kind() == ast.MapKind:
			c.keys(name, text, e.AsMap(), a)
		case e.Kind() == ast.IdentKind && !c.splits && a.ReferenceMap()[e.ID()] != nil && a.ReferenceMap()[e.ID()].Name == varParent:
			at := a.SourceInfo().GetStartLocation(e.ID())
			c.fault(name, text, at.Line(), at.Column()+1, "parent is the data that transform.split takes apart, for cel, fields and cloudevents to see beside the element", "write data")
		}
	}))
	return a
}

// keys faults a map literal that has the same key twice, or a key of a type that CEL has no map keys of.
func (c *compiler) keys(name string, text config.Text, m ast.MapExpr, a *ast.AST) {
	seen := map[ref.Val]bool{}
	for _, entry := range m.Entries() {
		key := entry.AsMapEntry().Key()
		at := a.SourceInfo().GetStartLocation(key.ID())
		t := a.GetType(key.ID())
		switch t.Kind() {
		case types.StringKind, types.IntKind, types.UintKind, types.BoolKind:
		case types.DynKind, types.AnyKind, types.TypeParamKind, types.ErrorKind:
			continue // known when it is evaluated: see celjson.NewMap
		default:
			c.fault(name, text, at.Line(), at.Column()+1, fmt.Sprintf("a map key is of type %s", t), "keys are texts, whole numbers, true or false: make it text with string(…)")
			continue
		}
		if key.Kind() != ast.LiteralKind {
			continue
		}
		lit := key.AsLiteral() // of a type that can be hashed, as the switch has it
		if u, ok := lit.(types.Uint); ok && u <= math.MaxInt64 {
			lit = types.Int(u) // 1 and 1u are one key
		}
		if seen[lit] {
			c.fault(name, text, at.Line(), at.Column()+1, fmt.Sprintf("the key %v is there twice", lit.Value()), "a key can have one value only")
		}
		seen[lit] = true
	}
}

func (c *compiler) fault(name string, text config.Text, line, col int, message, hint string) {
	e := text.Error(line, col, message, hint)
	if e.Key == "" {
		e.Key = name
	}
	e.Code = "CEL"
	c.faults = append(c.faults, e)
}

// expression compiles a text into one expression; nil when it is at fault.
func (c *compiler) expression(name string, text config.Text, want want) *expression {
	a := c.check(name, text, want)
	if a == nil {
		return nil
	}
	return c.part(name, text, a, a.Expr())
}

// part makes an expression of a part of a checked one.
func (c *compiler) part(name string, text config.Text, whole *ast.AST, e ast.Expr) *expression {
	x := &expression{name: name, path: pathOf(e), whole: whole}
	if x.path != nil {
		return x
	}
	x.plan = newPlan(whole, e, c.factory)
	x.cheap = isCheap(e)
	x.native = native(e, x.cheap)
	a := ast.NewCheckedAST(ast.NewAST(e, whole.SourceInfo()), whole.TypeMap(), whole.ReferenceMap())
	program, err := c.env.PlanProgram(a, programOptions(x.plan, x.cheap)...)
	if err != nil {
		at := whole.SourceInfo().GetStartLocation(e.ID())
		c.fault(name, text, max(at.Line(), 1), at.Column()+1, err.Error(), "")
		return nil
	}
	x.program = program
	return x
}

// wrongType says why values of a type cannot be used, or "".
func wrongType(t *cel.Type, want want) (fault, hint string) {
	optional := t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type"
	if optional && want != wantJSON {
		t = t.Parameters()[0]
	}
	switch kind := t.Kind(); {
	case kind == types.DynKind || kind == types.AnyKind:
	case want == wantBool:
		if kind != types.BoolKind {
			return fmt.Sprintf("it gives a %s where true or false is due", t), `compare it with something, as in data.region == "eu"`
		}
	case want == wantList:
		if kind != types.ListKind {
			return fmt.Sprintf("it gives a %s where a list is due", t), "name a list, as in data.items"
		}
	case want == wantBytes && kind == types.BytesKind:
	case want == wantText || want == wantBytes:
		switch kind {
		case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.TimestampKind, types.NullTypeKind:
		default:
			return fmt.Sprintf("it gives a %s where text is due", t), "make it text with string(…)"
		}
	case optional:
		return "it gives an optional value, which JSON has no place for", "end it with .orValue(null)"
	case kind == types.TypeKind:
		return "it gives a type, which JSON has no place for", "make it text with string(type(…))"
	}
	return "", ""
}

// cheap are the operators and functions that take time in proportion to their
// arguments and give back no more than they got. An expression of these alone,
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

// maxCheap is how many calls a cheap expression has at most.
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

// unparse is a part of an expression as text, shortened.
func unparse(e ast.Expr, info *ast.SourceInfo) string {
	text, err := parser.Unparse(e, info)
	if err != nil {
		return "the expression"
	}
	const most = 120
	if len(text) > most {
		cut := most
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return text
}
