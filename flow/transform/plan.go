package transform

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/flow/internal/celjson"
)

// plan is what has to be known of an expression while cel-go turns it into a
// program, node by node: which nodes are handed to functions, and so must give
// plain values (see celjson.Plain), and how map literals were written.
type plan struct {
	arguments map[int64]strictness
	nodes     map[int64]ast.Expr
}

// strictness says how thoroughly an argument is made plain.
type strictness int

const (
	scalars strictness = iota + 1 // the value itself; a list stays what it is
	deep                          // all that is in it too
	key                           // the same for what picks a member or element
)

func newPlan(root ast.Expr) *plan {
	p := &plan{arguments: map[int64]strictness{}, nodes: map[int64]ast.Expr{}}
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

func (p *plan) call(c ast.CallExpr) {
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	how := deep
	switch c.FunctionName() {
	case operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.NotStrictlyFalse,
		operators.OptSelect, "optional.of", "optional.ofNonZeroValue", "hasValue", "value", "or", "orValue", "dyn", "size", "json.encode":
		return // these only pass their arguments on
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

// argument marks a node. A comprehension is marked at its result, as its own
// node has to stay one that cel-go knows how to interrupt.
func (p *plan) argument(e ast.Expr, how strictness) {
	for e.Kind() == ast.ComprehensionKind {
		e = e.AsComprehension().Result()
	}
	p.arguments[e.ID()] = how
}

// decorate is called by cel-go for every node, children first.
func (p *plan) decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch node := i.(type) {
	case interpreter.InterpretableConst:
		return i, nil
	case interpreter.InterpretableCall:
		if node.Function() == "matches" && len(node.Args()) == 2 {
			var err error
			if i, err = newMatches(node); err != nil {
				return nil, err
			}
		}
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
	if how == key {
		// cel-go reads an attribute that is a key by a way of its own, which
		// leads around any wrapper; it must not know that this is one.
		return plainNode{i, deep}, nil
	}
	switch node := i.(type) {
	case interpreter.InterpretableAttribute:
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

// literal folds a literal of constants, and makes a map literal keep its order.
func (p *plan) literal(c interpreter.InterpretableConstructor) (_ interpreter.InterpretableV2, constant bool) {
	constant = true
	for _, v := range c.InitVals() {
		_, ok := v.(interpreter.InterpretableConst)
		constant = constant && ok
	}
	var node interpreter.InterpretableV2 = c
	if e := p.nodes[c.ID()]; c.Type() == types.MapType && e != nil && e.Kind() == ast.MapKind {
		node = newMapLiteral(c, e.AsMap())
	}
	if constant {
		if v := node.Exec(interpreter.AsFrame(cel.NoVars())); !types.IsUnknownOrError(v) {
			return interpreter.NewConstValue(c.ID(), v), true
		}
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
	plain, err := celjson.Plain(v, maxParts)
	if err != nil {
		return types.WrapErr(err)
	}
	return plain
}

// The four wrappers do the same to four kinds of node, which cel-go tells
// apart by the interfaces that they have.
type (
	plainAttribute struct {
		interpreter.InterpretableAttribute
		how strictness
	}
	plainCall struct {
		interpreter.InterpretableCall
		how strictness
	}
	plainConstructor struct {
		interpreter.InterpretableConstructor
		how strictness
	}
	plainNode struct {
		interpreter.InterpretableV2
		how strictness
	}
)

func (n plainAttribute) Eval(a interpreter.Activation) ref.Val { return n.Exec(interpreter.AsFrame(a)) }

func (n plainAttribute) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableAttribute.Exec(f))
}

func (n plainCall) Eval(a interpreter.Activation) ref.Val { return n.Exec(interpreter.AsFrame(a)) }

func (n plainCall) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableCall.Exec(f))
}

func (n plainConstructor) Eval(a interpreter.Activation) ref.Val {
	return n.Exec(interpreter.AsFrame(a))
}

func (n plainConstructor) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableConstructor.Exec(f))
}

func (n plainNode) Eval(a interpreter.Activation) ref.Val { return n.Exec(interpreter.AsFrame(a)) }

func (n plainNode) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return n.how.apply(n.InterpretableV2.Exec(f))
}

// mapLiteral evaluates a map literal to a map that keeps its order.
type mapLiteral struct {
	interpreter.InterpretableConstructor
	keys, values []interpreter.InterpretableV2
	optional     []bool
}

func newMapLiteral(c interpreter.InterpretableConstructor, m ast.MapExpr) mapLiteral {
	l := mapLiteral{InterpretableConstructor: c}
	parts := c.InitVals()
	for i, entry := range m.Entries() {
		l.keys = append(l.keys, parts[2*i])
		l.values = append(l.values, parts[2*i+1])
		l.optional = append(l.optional, entry.AsMapEntry().IsOptional())
	}
	return l
}

func (l mapLiteral) Eval(a interpreter.Activation) ref.Val { return l.Exec(interpreter.AsFrame(a)) }

func (l mapLiteral) Exec(f *interpreter.ExecutionFrame) ref.Val {
	keys := make([]ref.Val, 0, len(l.keys))
	values := make([]ref.Val, 0, len(l.keys))
	for i := range l.keys {
		key := l.keys[i].Exec(f)
		if types.IsUnknownOrError(key) {
			return key
		}
		value := l.values[i].Exec(f)
		if types.IsUnknownOrError(value) {
			return value
		}
		if l.optional[i] {
			o, ok := value.(*types.Optional)
			if !ok {
				return types.NewErrWithNodeID(l.ID(), "cannot initialize optional entry from non-optional value")
			}
			if !o.HasValue() {
				continue
			}
			value = o.GetValue()
		}
		keys, values = append(keys, key), append(values, value)
	}
	return celjson.NewMap(keys, values)
}
