package transform

import (
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/lsm/fiso/common/lazyjson"
)

// The conditions, see native.go.
type (
	// boolOperand is an operand that is itself true or false.
	boolOperand struct{ operand }
	// celCondition is a part that only cel-go can evaluate.
	celCondition struct{}
	notCondition struct{ condition }
	// logicalCondition is && (decisive: no) or || (decisive: yes).
	logicalCondition struct {
		parts    []condition
		decisive truthValue
	}
	ternaryCondition struct{ when, then, otherwise condition }
	equalCondition   struct{ a, b operand }
	// orderCondition is <, <=, > or >=. true holds the orders that make it
	// true.
	orderCondition struct {
		a, b operand
		true [3]bool // less, equal, greater
	}
	// membershipCondition is in: with a literal list of texts or of integers,
	// or with a list or an object in data.
	membershipCondition struct {
		operand operand
		list    []scalar
		in      operand // instead of list
	}
	// hasCondition is has().
	hasCondition struct {
		object operand // nil: headers
		name   string
	}
	// textCondition is startsWith(), endsWith() or contains().
	textCondition struct {
		a, b operand
		test func(s, part string) bool
	}
)

func (celCondition) holds(*vars) truthValue { return undecided }

func (t boolOperand) holds(v *vars) truthValue {
	switch t.of(v).kind {
	case lazyjson.True:
		return yes
	case lazyjson.False:
		return no
	}
	return undecided
}

func (n notCondition) holds(v *vars) truthValue { return n.condition.holds(v).not() }

func (j logicalCondition) holds(v *vars) truthValue {
	all := j.decisive.not()
	for _, part := range j.parts {
		switch part.holds(v) {
		case j.decisive:
			return j.decisive
		case undecided:
			all = undecided
		}
	}
	return all
}

func (c ternaryCondition) holds(v *vars) truthValue {
	switch c.when.holds(v) {
	case yes:
		return c.then.holds(v)
	case no:
		return c.otherwise.holds(v)
	}
	return undecided
}

func (e equalCondition) holds(v *vars) truthValue { return e.a.of(v).equal(e.b.of(v)) }

func (o orderCondition) holds(v *vars) truthValue {
	if order, ok := o.a.of(v).compare(o.b.of(v)); ok {
		return truthOf(o.true[order+1])
	}
	return undecided
}

func (a membershipCondition) holds(v *vars) truthValue {
	s := a.operand.of(v)
	if s.kind == lazyjson.Absent || s.isContainer() {
		return undecided
	}
	if a.in == nil {
		if s.kind == lazyjson.Number && a.list[0].kind == lazyjson.Integer {
			return undecided // cel-go compares these in its own way
		}
		return truthOf(slices.ContainsFunc(a.list, func(e scalar) bool { return e.equal(s) == yes }))
	}
	in := a.in.of(v)
	switch {
	case in.kind == lazyjson.Object && s.kind == lazyjson.String:
		return truthOf(in.whole.Member(s.text).Kind() != lazyjson.Absent)
	case in.kind != lazyjson.Array:
		return undecided
	}
	found := no
	for e := in.whole.First(); e.Kind() != lazyjson.Absent; e = e.Next(in.whole) {
		switch scalarOf(e).equal(s) {
		case yes:
			return yes
		case undecided:
			found = undecided
		}
	}
	return found
}

func (p hasCondition) holds(v *vars) truthValue {
	if p.object == nil {
		for i := range v.headers {
			if v.headers[i].Key == p.name {
				return yes
			}
		}
		return no
	}
	if object := p.object.of(v); object.kind == lazyjson.Object {
		return truthOf(object.whole.Member(p.name).Kind() != lazyjson.Absent)
	}
	return undecided
}

func (t textCondition) holds(v *vars) truthValue {
	a, b := t.a.of(v), t.b.of(v)
	if a.kind != lazyjson.String || b.kind != lazyjson.String {
		return undecided
	}
	return truthOf(t.test(a.text, b.text))
}

// textTests are the functions of textCondition.
var textTests = map[string]func(s, part string) bool{"startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix, "contains": strings.Contains}

// orders says which orders make an operator true: less, equal, greater.
var orders = map[string][3]bool{
	operators.Less: {true, false, false}, operators.LessEquals: {true, true, false},
	operators.Greater: {false, false, true}, operators.GreaterEquals: {false, true, true},
}

// conditionOf returns the condition for a part of an expression. It is a
// celCondition if nothing can be decided without cel-go.
func conditionOf(e ast.Expr) condition {
	if o := operandOf(e); o != nil {
		return boolOperand{o}
	}
	switch e.Kind() {
	case ast.CallKind:
		return callCondition(e.AsCall())
	case ast.SelectKind:
		if s := e.AsSelect(); s.IsTestOnly() {
			if isHeaders(s.Operand()) {
				return hasCondition{nil, s.FieldName()}
			}
			if p := pathOf(s.Operand()); p != nil && p.root == varData {
				return hasCondition{member{p}, s.FieldName()}
			}
		}
	}
	return celCondition{}
}

func callCondition(c ast.CallExpr) condition {
	name, args := c.FunctionName(), c.Args()
	switch name {
	case operators.LogicalAnd, operators.LogicalOr:
		j := logicalCondition{decisive: no}
		if name == operators.LogicalOr {
			j.decisive = yes
		}
		for _, arg := range args {
			j.parts = append(j.parts, conditionOf(arg))
		}
		return j
	case operators.LogicalNot:
		return notCondition{conditionOf(args[0])}
	case operators.Conditional:
		return ternaryCondition{conditionOf(args[0]), conditionOf(args[1]), conditionOf(args[2])}
	case operators.In:
		return inCondition(args)
	}
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	if len(args) != 2 {
		return celCondition{}
	}
	a, b := operandOf(args[0]), operandOf(args[1])
	if a == nil || b == nil {
		return celCondition{}
	}
	switch name {
	case operators.Equals:
		return equalCondition{a, b}
	case operators.NotEquals:
		return notCondition{equalCondition{a, b}}
	}
	if when, ok := orders[name]; ok {
		return orderCondition{a, b, when}
	}
	if test := textTests[name]; test != nil {
		return textCondition{a, b, test}
	}
	return celCondition{}
}

func inCondition(args []ast.Expr) condition {
	value := operandOf(args[0])
	if value == nil {
		return celCondition{}
	}
	if p := pathOf(args[1]); p != nil && p.root == varData {
		return membershipCondition{operand: value, in: member{p}}
	}
	if args[1].Kind() != ast.ListKind {
		return celCondition{}
	}
	a := membershipCondition{operand: value}
	for _, e := range args[1].AsList().Elements() {
		c, ok := operandOf(e).(constant)
		if !ok || c.kind != lazyjson.String && c.kind != lazyjson.Integer || len(a.list) > 0 && a.list[0].kind != c.kind {
			return celCondition{}
		}
		a.list = append(a.list, c.scalar)
	}
	if len(a.list) == 0 {
		return celCondition{}
	}
	return a
}

// operandOf returns the operand for a value that can be read without cel-go, or
// nil.
func operandOf(e ast.Expr) operand {
	switch e.Kind() {
	case ast.LiteralKind:
		return literalOf(e)
	case ast.CallKind:
		if c := e.AsCall(); c.FunctionName() == "size" {
			arg := c.Target()
			if !c.IsMemberFunction() {
				arg = c.Args()[0]
			}
			if o := operandOf(arg); o != nil {
				return sizeOf{o}
			}
			return nil
		} else if c.FunctionName() == operators.Index && isHeaders(c.Args()[0]) && c.Args()[1].Kind() == ast.LiteralKind {
			if name, ok := c.Args()[1].AsLiteral().(types.String); ok {
				return header{string(name)}
			}
		}
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() && isHeaders(s.Operand()) {
			return header{s.FieldName()}
		}
	}
	return pathOperand(pathOf(e))
}

func pathOperand(p *path) operand {
	switch {
	case p == nil || p.root == varTime:
		return nil
	case p.root == varData:
		return member{p}
	}
	return attr{p.root}
}

func isHeaders(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == varHeaders }

func literalOf(e ast.Expr) operand {
	switch l := e.AsLiteral().(type) {
	case types.String:
		return constant{textScalar(string(l))}
	case types.Int:
		return constant{scalar{kind: lazyjson.Integer, int: int64(l)}}
	case types.Double:
		return constant{scalar{kind: lazyjson.Number, float: float64(l)}}
	case types.Null:
		return constant{scalar{kind: lazyjson.Null}}
	case types.Bool:
		kind := lazyjson.False
		if l {
			kind = lazyjson.True
		}
		return constant{scalar{kind: kind}}
	}
	return nil
}

// nativeCondition returns the condition for an expression, or nil. Only a cheap
// expression has one: cel-go may end another one at a limit where the condition
// would have a result.
func nativeCondition(e ast.Expr, cheap bool) condition {
	switch c := conditionOf(e).(type) {
	case celCondition, boolOperand: // a lone literal or path needs no condition
	default:
		if cheap {
			return c
		}
	}
	return nil
}
