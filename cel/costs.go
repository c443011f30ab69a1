package cel

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel/celjson"
)

// trackers replaces the cost trackers of the extension libraries by costs: some
// of theirs panic over an error among the arguments, as in
// "data.missing.distinct() == [] || true", which is true.
func trackers(whole *ast.AST, part ast.Expr) []interpreter.CostTrackerOption {
	var all []interpreter.CostTrackerOption
	seen := map[string]bool{}
	ast.PreOrderVisit(part, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		name := e.AsCall().FunctionName()
		for _, id := range whole.GetOverloadIDs(e.ID()) {
			if seen[id] {
				continue
			}
			seen[id] = true
			all = append(all, interpreter.OverloadCostTracker(id, func(args []ref.Val, result ref.Val) *uint64 {
				return costs{}.CallCost(name, id, args, result)
			}))
		}
	}))
	return all
}

// costs computes what calls cost. CEL's own costs depend on the types known
// when the expression was compiled, and so everything about data is cheap.
type costs struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	n := 1 + length(result)/10
	for _, arg := range args {
		n += length(arg) / 10
	}
	switch function {
	case "_+_":
		n += sumCost(args)
	case "sets.contains", "sets.intersects", "sets.equivalent", "indexOf", "lastIndexOf":
		n += size(args[0]) * size(args[1]) / 10
	case "distinct":
		n += size(args[0]) * size(args[0]) / 10
	case guardedMatches, "regex.extract", "regex.extractAll", "regex.replace":
		n += size(args[0]) * size(args[1]) / 40
	case inTexts, "size", "_[_]", "orValue", "or", "hasValue", "value", "dyn", "type", "cel.@mapInsert":
	default:
		for _, arg := range args {
			n += parts(arg)
		}
		n += parts(result)
	}
	cost := uint64(n)
	return &cost
}

// sumCost is the cost of joining two lists. A list that a macro collects is not
// copied.
func sumCost(args []ref.Val) int {
	if _, growing := args[0].(traits.MutableLister); growing {
		return 1
	}
	if _, ok := args[0].(traits.Lister); !ok {
		return 0
	}
	return size(args[0]) + size(args[1])
}

func length(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}

func parts(v ref.Val) int {
	switch v.(type) {
	case traits.Lister, traits.Mapper:
		return celjson.Units(v, MaxParts)
	}
	return 0
}
