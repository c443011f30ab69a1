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

// Failure says why an evaluation has no value. CEL's messages may quote values,
// so Reason is only taken from messages that do not.
type Failure struct {
	Reason string   // a general reason, such as NoField
	Node   ast.Expr // the part of the expression that failed; nil: unknown
	info   *ast.SourceInfo
}

// Reasons of a Failure to which a caller may add details.
const (
	NoField    = "no such field"
	NoOverload = "no such overload"
)

// Error returns the reason and the part of the expression as it was written.
func (f *Failure) Error() string {
	switch {
	case f.Node == nil:
		return f.Reason
	case f.Reason == NoField:
		return f.Reason + ": " + unparse(f.Node, f.info)
	}
	return f.Reason + " in " + unparse(f.Node, f.info)
}

// failure converts an error of cel-go to one that quotes no value.
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

// harmless is the beginnings of CEL messages that quote no value.
var harmless = []string{
	NoOverload, "division by zero", "modulus by zero", "integer overflow", "unsigned integer overflow", "duration overflow",
	"timestamp overflow", "index out of bounds", "index out of range", "type conversion error", "unsupported index type",
	"cannot initialize optional entry", "optional.none() dereference", "NaN values cannot be ordered", "range error", "unsupported key type",
}

// panicked is the reason for a panic in cel-go or in a function of this
// package. cel-go recovers it; its value may contain data.
const panicked = "the evaluation panicked, which is a bug: please report the expression"

// explain says in general terms what went wrong.
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
	return "it cannot be evaluated for these values"
}
