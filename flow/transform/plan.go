package transform

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/cel/celjson"
)

// programPlan is what the decorator knows about an expression while cel-go
// makes a program of it, node by node: which nodes are passed to functions and
// so must have plain values (see celjson.Plain), and how map literals were
// written.
type programPlan struct {
	arguments map[int64]strictness
	nodes     map[int64]ast.Expr
	factory   interpreter.AttributeFactory
}

// strictness says how deep an argument is made plain.
type strictness int

const (
	scalars strictness = iota + 1 // the value itself; a list stays as it is
	deep                          // and everything in it
	key                           // the same, for a node that selects a member or element
)

func newPlan(root ast.Expr, factory interpreter.AttributeFactory) *programPlan {
	p := &programPlan{arguments: map[int64]strictness{}, nodes: map[int64]ast.Expr{}, factory: factory}
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		p.nodes[e.ID()] = e
		switch e.Kind() {
		case ast.CallKind:
			p.call(e.AsCall())
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				p.argument(entry.AsMapEntry().Key(), key)
			}
		}
	}))
	return p
}

func (p *programPlan) call(c ast.CallExpr) {
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	how := deep
	switch c.FunctionName() {
	case operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.NotStrictlyFalse,
		operators.OptSelect, "optional.of", "optional.ofNonZeroValue", "hasValue", "value", "or", "orValue", "dyn", "size", "json.encode":
		return // these only pass on their arguments
	case operators.Index, operators.OptIndex, "cel.@mapInsert":
		if len(args) > 1 {
			p.argument(args[1], key)
		}
		return
	case operators.Add:
		how = scalars
	}
	for _, arg := range args {
		p.argument(arg, how)
	}
}

// argument marks a node. For a comprehension it marks the result, as cel-go can
// only interrupt the comprehension node if that stays unwrapped.
func (p *programPlan) argument(e ast.Expr, how strictness) {
	for e.Kind() == ast.ComprehensionKind {
		e = e.AsComprehension().Result()
	}
	p.arguments[e.ID()] = how
}

// decorate is called by cel-go for every node, children first.
func (p *programPlan) decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch node := i.(type) {
	case interpreter.InterpretableConst:
		return i, nil
	case interpreter.InterpretableConstructor:
		var constant bool
		if i, constant = p.literal(node); constant {
			return i, nil
		}
	}
	how, ok := p.arguments[i.ID()]
	if !ok {
		return i, nil
	}
	switch node := i.(type) {
	case interpreter.InterpretableAttribute:
		if how == key {
			return keyAttribute{node, p.factory}, nil
		}
		return plainAttribute{node, how}, nil
	case interpreter.InterpretableCall:
		return plainCall{node, how}, nil
	case interpreter.InterpretableConstructor:
		return plainConstructor{node, how}, nil
	}
	if e := p.nodes[i.ID()]; e != nil && e.Kind() == ast.CallKind {
		switch e.AsCall().FunctionName() {
		case "or", "orValue":
			return plainNode{i, how}, nil
		}
	}
	return i, nil
}

// literal makes a map literal keep its order, and evaluates one of constants.
func (p *programPlan) literal(c interpreter.InterpretableConstructor) (_ interpreter.InterpretableV2, constant bool) {
	e := p.nodes[c.ID()]
	if c.Type() != types.MapType || e == nil || e.Kind() != ast.MapKind {
		return c, false
	}
	node := newMapLiteral(c, e.AsMap())
	for _, v := range c.InitVals() {
		if _, constant := v.(interpreter.InterpretableConst); !constant {
			return node, false
		}
	}
	if v := node.Exec(interpreter.AsFrame(interpreter.EmptyActivation())); !types.IsUnknownOrError(v) {
		return interpreter.NewConstValue(c.ID(), v), true
	}
	return node, false
}

func (s strictness) apply(v ref.Val) ref.Val {
	switch v := v.(type) {
	case *celjson.Number:
		return v.Double
	case types.Int, types.String, types.Bool, types.Double:
		return v
	}
	if s == scalars {
		return v
	}
	plain, err := celjson.Plain(v, cel.MaxParts)
	if err != nil {
		return types.WrapErr(err)
	}
	return plain
}
