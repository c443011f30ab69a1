package cel

import (
	"cmp"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/parser"

	"github.com/lsm/fiso/common/config"
)

// Check parses an expression and checks its types. It returns all faults, each
// with its place in the file and, if there is one, a hint for a person; the
// expression is then nil. asText says that the value is used as text, which
// decides what a bare word probably means.
func (e *Env) Check(text config.Text, asText bool) (*ast.AST, config.Errors) {
	c := checker{text: text}
	if line, col, fault := prescan(text.Value, e.config.Limits.Characters); fault != "" {
		c.fault(line, col, fault, "")
		return nil, c.faults
	}
	for _, at := range configReference.FindAllStringIndex(text.Value, -1) {
		line, col := place(text.Value, at[0])
		c.fault(line, col, text.Value[at[0]:at[1]]+" is not resolved in an expression", referenceHint)
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	checked, issues := e.env.Compile(text.Value)
	parsed := true
	for _, err := range issues.Errors() {
		if line, col, fault, hint := syntaxFault(err, text.Value); fault != "" {
			if parsed { // the parser's next faults are often a result of the first
				c.fault(line, col, fault, cmp.Or(hint, syntaxHint(fault, text.Value)))
			}
			parsed = false
			continue
		}
		c.fault(err.Location.Line(), err.Location.Column()+1, reword(err.Message), e.hint(err.Message, text.Value, asText))
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	c.ast = checked.NativeRep()
	ast.PreOrderVisit(c.ast.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.MapKind {
			c.keys(e.AsMap())
		}
	}))
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return c.ast, nil
}

// checker collects the faults of one expression.
type checker struct {
	text   config.Text
	ast    *ast.AST
	faults config.Errors
}

func (c *checker) fault(line, col int, message, hint string) {
	err := c.text.Error(line, col, message, hint)
	err.Code = config.CodeCEL
	c.faults = append(c.faults, err)
}

// keys reports a map literal that has the same key twice, or a key of a type
// that CEL does not allow.
func (c *checker) keys(m ast.MapExpr) {
	seen := map[ref.Val]bool{}
	for _, entry := range m.Entries() {
		key := entry.AsMapEntry().Key()
		at := c.ast.SourceInfo().GetStartLocation(key.ID())
		t := c.ast.GetType(key.ID())
		switch t.Kind() {
		case types.StringKind, types.IntKind, types.UintKind, types.BoolKind:
		case types.DynKind, types.AnyKind, types.TypeParamKind, types.ErrorKind:
			continue // checked when it is evaluated: see celjson.NewMap
		default:
			c.fault(at.Line(), at.Column()+1, fmt.Sprintf("a map key is of type %s", t), "keys are texts, whole numbers, true or false: make it text with string(…)")
			continue
		}
		if key.Kind() != ast.LiteralKind {
			continue
		}
		lit := key.AsLiteral() // hashable: see the switch
		if u, ok := lit.(types.Uint); ok && u <= math.MaxInt64 {
			lit = types.Int(u) // 1 and 1u are one key
		}
		if seen[lit] {
			c.fault(at.Line(), at.Column()+1, fmt.Sprintf("the key %v appears twice", lit.Value()), "a key can have one value only")
		}
		seen[lit] = true
	}
}

// unparse returns a part of an expression as text, shortened.
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
