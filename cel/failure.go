package cel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel/celjson"
)

// Failure says why an evaluation gave no value. The messages of CEL may quote
// values, so only those are passed on that are known not to.
type Failure struct {
	Reason string   // in general words, such as NoField
	Node   ast.Expr // the part of the expression that failed; nil: not known
	info   *ast.SourceInfo
}

// Reasons of a Failure that a caller may know more about.
const (
	NoField    = "no such field"
	NoOverload = "no such overload"
)

// Error is the reason and the part of the expression, as a person wrote it.
func (f *Failure) Error() string {
	switch {
	case f.Node == nil:
		return f.Reason
	case f.Reason == NoField:
		return f.Reason + ": " + unparse(f.Node, f.info)
	}
	return f.Reason + " in " + unparse(f.Node, f.info)
}

// failure is an error of cel-go without what it may quote.
func (p *Program) failure(err error) *Failure {
	if _, ok := errors.AsType[interpreter.EvalCancelledError](err); ok {
		return &Failure{Reason: fmt.Sprintf("it needs more than the %d steps that an expression has", p.steps)}
	}
	f := &Failure{Reason: explain(err), info: p.whole.SourceInfo()}
	if e, ok := errors.AsType[*types.Err](err); ok {
		ast.PreOrderVisit(p.part, ast.NewExprVisitor(func(node ast.Expr) {
			if node.ID() == e.NodeID() {
				f.Node = node
			}
		}))
	}
	return f
}

// harmless are the beginnings of messages of CEL that name no value.
var harmless = []string{
	NoOverload, "division by zero", "modulus by zero", "integer overflow", "unsigned integer overflow", "duration overflow",
	"timestamp overflow", "index out of bounds", "index out of range", "type conversion error", "unsupported index type",
	"cannot initialize optional entry", "optional.none() dereference", "NaN values cannot be ordered", "range error", "unsupported key type",
}

// panicked is what is told of a panic in cel-go or in a function of this package.
// cel-go recovers it, and its value may be data.
const panicked = "the evaluation panicked, which is a bug: please report the expression"

// explain says in general words what went wrong.
func explain(err error) string {
	for _, known := range []error{celjson.ErrTooLarge, errWork, errPattern} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	message := err.Error()
	if strings.HasPrefix(message, "internal error: ") {
		return panicked
	}
	if strings.HasPrefix(message, "no such key") {
		return NoField
	}
	for _, h := range harmless {
		if strings.HasPrefix(message, h) {
			return h
		}
	}
	return "it cannot be worked out for these values"
}
