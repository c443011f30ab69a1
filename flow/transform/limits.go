package transform

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/flow/internal/celjson"
)

// What an expression may cost. An event that needs more fails; a flow that
// needs more does not load.
const (
	maxExpression  = 16 << 10  // characters of one expression
	maxNesting     = 48        // brackets inside of brackets, looked at before parsing
	maxDepth       = 200       // recursion of the parser
	maxNodes       = 10_000    // of an expression, macros expanded
	maxCost        = 1_000_000 // steps of one evaluation, as CEL counts them; Kubernetes' number too
	interruptEvery = 100       // rounds of a loop between two looks at the clock
	maxElements    = 100_000   // of a list that one function makes
	maxParts       = 1 << 20   // elements and members of a value handed to a function, all levels together
	maxText        = 32 << 20  // bytes of a text that one function makes
	maxWork        = 1 << 25   // elementary steps of one function: comparisons, characters times states
	maxCaptures    = 1 << 22   // the same for a regular expression that extracts or replaces, which costs a lot more a step
	maxMatches     = 1 << 23   // the same for one that only matches
	maxPattern     = 1 << 10   // bytes of a regular expression that comes from data
)

// errWork says that a single function would do more than it may.
var errWork = errors.New("a function would do too much work on values this large")

// guard looks at the arguments of a function before it runs: CEL counts what a
// function has cost when it is over, which is too late when one call can fill
// the memory.
type guard func(args []ref.Val) error

func guarded(check guard, f functions.FunctionOp) functions.FunctionOp {
	return func(args ...ref.Val) ref.Val {
		if err := check(args); err != nil {
			return types.WrapErr(err)
		}
		return f(args...)
	}
}

// guards are by overload.
var guards = map[string]guard{
	"string_replace_string_string":           guardReplace,
	"string_replace_string_string_int":       guardReplace,
	"list_join":                              guardJoin,
	"list_join_string":                       guardJoin,
	"string_format":                          guardFormat,
	"string_split_string":                    guardSplit,
	"string_split_string_int":                guardSplit,
	"string_index_of_string":                 guardProduct,
	"string_index_of_string_int":             guardProduct,
	"string_last_index_of_string":            guardProduct,
	"string_last_index_of_string_int":        guardProduct,
	"list_sets_contains_list":                guardProduct,
	"list_sets_equivalent_list":              guardProduct,
	"list_sets_intersects_list":              guardProduct,
	"list_distinct":                          func(args []ref.Val) error { return product(args[0], args[0]) },
	"regex_extract_string_string":            guardPattern,
	"regex_extractAll_string_string":         guardPattern,
	"regex_replace_string_string_string":     guardRegexReplace,
	"regex_replace_string_string_string_int": guardRegexReplace,
}

// size is the length of a text in bytes or of a list in elements, 1 for
// anything else.
func size(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	case traits.Lister:
		return int(v.Size().(types.Int))
	}
	return 1
}

func tooLong(n int) error {
	if n < 0 || n > maxText {
		return celjson.ErrTooLarge
	}
	return nil
}

func guardReplace(args []ref.Val) error {
	s, old, by := string(args[0].(types.String)), string(args[1].(types.String)), size(args[2])
	return tooLong(len(s) + strings.Count(s, old)*by)
}

func guardJoin(args []ref.Val) error {
	n, separator := 0, 0
	if len(args) > 1 {
		separator = size(args[1])
	}
	for it := args[0].(traits.Lister).Iterator(); it.HasNext() == types.True; {
		if n += size(it.Next()) + separator; n > maxText {
			return celjson.ErrTooLarge
		}
	}
	return nil
}

// guardFormat counts on no clause of a format making more of a value than
// eight times its text.
func guardFormat(args []ref.Val) error {
	t := texts{left: maxText/8 - size(args[0])}
	t.walk(args[1])
	if t.left < 0 {
		return celjson.ErrTooLarge
	}
	return nil
}

// texts counts down the bytes of all texts in a value.
type texts struct{ left int }

func (t *texts) walk(v ref.Val) {
	switch v := v.(type) {
	case traits.Lister:
		for it := v.Iterator(); t.left >= 0 && it.HasNext() == types.True; {
			t.walk(it.Next())
		}
	case traits.Mapper:
		for it := v.Iterator(); t.left >= 0 && it.HasNext() == types.True; {
			key := it.Next()
			t.walk(key)
			t.walk(v.Get(key))
		}
	default:
		t.left -= max(size(v), 16)
	}
}

func guardSplit(args []ref.Val) error {
	s, separator := string(args[0].(types.String)), string(args[1].(types.String))
	if strings.Count(s, separator) > maxElements {
		return celjson.ErrTooLarge
	}
	return nil
}

func guardProduct(args []ref.Val) error { return product(args[0], args[1]) }

func product(a, b ref.Val) error {
	if n := size(b); n > 0 && size(a) > maxWork/n {
		return errWork
	}
	return nil
}

func guardPattern(args []ref.Val) error {
	n, err := patternSize(string(args[1].(types.String)))
	if err != nil || n == 0 || size(args[0]) <= maxCaptures/n {
		return err
	}
	return errWork
}

func guardRegexReplace(args []ref.Val) error {
	if n := size(args[2]); n > 0 && size(args[0])+1 > maxText/n {
		return celjson.ErrTooLarge
	}
	return guardPattern(args)
}

// patternSize is the number of states of a regular expression.
func patternSize(pattern string) (int, error) {
	if len(pattern) > maxPattern {
		return 0, fmt.Errorf("a regular expression is longer than %d characters", maxPattern)
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, errPattern
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, errPattern
	}
	return len(prog.Inst), nil
}

var errPattern = errors.New("not a valid regular expression")

// costs is what calls cost. CEL's own numbers go by the types that it knew
// when it compiled, and so call everything cheap that is done with data.
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

// sumCost is that of joining two lists. What a macro collects is only added to.
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
		return celjson.Units(v, maxParts)
	}
	return 0
}
