package transform

import (
	"fmt"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/common/config"
)

// resultUse is what the result of an expression is used for.
type resultUse int

const (
	wantJSON  resultUse = iota // a part of the output
	wantBool                   // a condition
	wantText                   // an attribute
	wantBytes                  // the same, or bytes
	wantList                   // events
)

// expression is a CEL expression, or a part of one, that can be evaluated.
type expression struct {
	name    string    // its key in the file, for error messages
	path    *path     // set if it only names a variable or a place in data
	native  condition // evaluated before program; nil: none
	program *cel.Program
	whole   *ast.AST // the expression that this is a part of
}

// compiler compiles the expressions of one flow and collects their faults.
type compiler struct {
	env     *cel.Env
	factory interpreter.AttributeFactory
	faults  config.Errors
	splits  bool // the expression being compiled sees an element of transform.split
}

func newCompiler() (*compiler, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	e := env.CEL()
	factory := interpreter.NewAttributeFactory(e.Container, e.CELTypeAdapter(), e.CELTypeProvider())
	return &compiler{env: env, factory: factory}, nil
}

// check parses a text and checks its types. It returns nil if there are faults.
func (c *compiler) check(name string, text config.Text, want resultUse) *ast.AST {
	a, faults := c.env.Check(text, want == wantText || want == wantBytes)
	for _, f := range faults {
		c.add(name, f)
	}
	if len(faults) > 0 {
		return nil
	}
	if fault, hint := wrongType(a.GetType(a.Expr().ID()), want); fault != "" {
		c.fault(name, text, 1, 1, fault, hint)
		return nil
	}
	if !c.splits {
		c.parents(name, text, a)
	}
	return a
}

// parents reports uses of parent where it is not defined.
func (c *compiler) parents(name string, text config.Text, a *ast.AST) {
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind && a.ReferenceMap()[e.ID()] != nil && a.ReferenceMap()[e.ID()].Name == varParent {
			at := a.SourceInfo().GetStartLocation(e.ID())
			c.fault(name, text, at.Line(), at.Column()+1,
				"parent is the data of a message that transform.split splits; only cel, fields and cloudevents see it", "write data")
		}
	}))
}

func (c *compiler) fault(name string, text config.Text, line, col int, message, hint string) {
	e := text.Error(line, col, message, hint)
	e.Code = config.CodeCEL
	c.add(name, e)
}

func (c *compiler) add(name string, e *config.Error) {
	if e.Key == "" {
		e.Key = name
	}
	c.faults = append(c.faults, e)
}

// expression compiles a text. It returns nil if there are faults.
func (c *compiler) expression(name string, text config.Text, want resultUse) *expression {
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
	program, err := c.env.Program(whole, e, newPlan(e, c.factory).decorate)
	if err != nil {
		at := whole.SourceInfo().GetStartLocation(e.ID())
		c.fault(name, text, max(at.Line(), 1), at.Column()+1, err.Error(), "")
		return nil
	}
	x.program = program
	x.native = nativeCondition(e, program.Cheap())
	return x
}

// wrongType says why a value of type t cannot be used, or "".
func wrongType(t *types.Type, want resultUse) (fault, hint string) {
	optional := t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type"
	if optional && want != wantJSON {
		t = t.Parameters()[0]
	}
	switch kind := t.Kind(); {
	case kind == types.DynKind || kind == types.AnyKind:
	case want == wantBool:
		if kind != types.BoolKind {
			return fmt.Sprintf("it returns a %s where true or false is expected", t), `compare it with something, as in data.region == "eu"`
		}
	case want == wantList:
		if kind != types.ListKind {
			return fmt.Sprintf("it returns a %s where a list is expected", t), "name a list, as in data.items"
		}
	case want == wantBytes && kind == types.BytesKind:
	case want == wantText || want == wantBytes:
		switch kind {
		case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.TimestampKind, types.NullTypeKind:
		default:
			return fmt.Sprintf("it returns a %s where text is expected", t), "make it text with string(…)"
		}
	case optional:
		return "it returns an optional value, which JSON cannot represent", "end it with .orValue(null)"
	case kind == types.TypeKind:
		return "it returns a type, which JSON cannot represent", "make it text with string(type(…))"
	}
	return "", ""
}
