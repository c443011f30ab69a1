package key

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/ext"

	"github.com/lsm/fiso/common/config"
)

// Bounds of an expression, looked at before or while it is parsed.
const (
	maxExpression = 4 << 10 // characters
	maxNesting    = 48      // brackets inside of brackets: the parser takes memory for each
	maxDepth      = 200     // recursion of the parser
	maxNodes      = 2000    // macros expanded
)

const (
	varData    = "data"
	varHeaders = "headers"
	varPath    = "path"
	varQuery   = "query"
	varMethod  = "method"
)

// excluded are functions of CEL whose work or result can be out of proportion
// to their arguments. CEL counts what a function cost when it is over, and a key
// needs none of these.
var excluded = []string{"matches", "replace", "join", "format", "strings.quote"}

// environment is made when it is first needed: that takes some milliseconds,
// and memory.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(varData, cel.DynType), cel.Variable(varHeaders, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(varPath, cel.StringType), cel.Variable(varQuery, cel.StringType), cel.Variable(varMethod, cel.StringType),
		cel.OptionalTypes(), ext.Strings(), cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxDepth), cel.ParserExpressionSizeLimit(maxExpression), cel.ParserErrorRecoveryLimit(4), cel.ExpressionNodeLimit(maxNodes),
	)
})

// Compile checks an expression; nil for an empty one. Its error is a
// *config.Error with its place in the file.
func Compile(t config.Text) (*Expression, error) {
	if t.IsZero() {
		return nil, nil
	}
	if n := utf8.RuneCountInString(t.Value); n > maxExpression {
		return nil, t.Error(1, 1, fmt.Sprintf("the expression has %d characters; %d are allowed", n, maxExpression), "")
	}
	if nesting(t.Value) > maxNesting {
		return nil, t.Error(1, 1, fmt.Sprintf("the expression has brackets more than %d deep", maxNesting), "")
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	checked, issues := env.Compile(t.Value)
	if faults := issues.Errors(); len(faults) > 0 {
		f := faults[0]
		message := strings.TrimSuffix(f.Message, " (in container '')")
		return nil, t.Error(f.Location.Line(), f.Location.Column()+1, message, hint(message, t.Value))
	}
	switch out := checked.OutputType(); out.Kind() {
	case cel.StringKind, cel.IntKind, cel.UintKind, cel.DoubleKind, cel.DynKind:
	default:
		return nil, t.Error(1, 1, fmt.Sprintf("a key is a text or a number, and this is %s", out), "make it a text with string(…)")
	}
	e := &Expression{}
	var bad string
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.IdentKind:
			e.usesData = e.usesData || x.AsIdent() == varData
		case ast.CallKind:
			if name := x.AsCall().FunctionName(); slices.Contains(excluded, name) {
				bad = name
			}
		}
	}))
	if bad != "" {
		return nil, t.Error(1, 1, bad+" is not available for keys: its work is not bounded by the expression", "use startsWith, split, substring or a field")
	}
	e.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		return nil, t.Error(1, 1, err.Error(), "")
	}
	return e, nil
}

// nesting is how deep brackets stand in brackets, those in texts included.
func nesting(s string) (deepest int) {
	depth := 0
	for _, c := range s {
		switch c {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth--
		}
	}
	return deepest
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	literal    = regexp.MustCompile(`^[A-Za-z0-9_/][A-Za-z0-9_./:#@~%+-]*$`)
)

// hint says what to do about the commonest slip: a text without its quotes, or
// a field without data.
func hint(fault, text string) string {
	text = strings.TrimSpace(text)
	switch m := undeclared.FindStringSubmatch(fault); {
	case literal.MatchString(text):
		return fmt.Sprintf(`%s is read as CEL; a literal text needs quotes: '"%s"'; a field of the body is data.%s`, text, text, text)
	case m != nil:
		return fmt.Sprintf("an expression sees headers, path, query, method and data; did you mean data.%s?", m[1])
	}
	return ""
}
