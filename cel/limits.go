package cel

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/cel/celjson"
)

// Bounds of a single function call. An evaluation that exceeds one fails.
const (
	maxDepth    = 200      // recursion of the parser
	maxNesting  = 48       // nested brackets, checked before parsing
	maxElements = 100_000  // elements of a list that one function makes
	MaxParts    = 1 << 20  // elements and members of a value handed to a function, all levels together
	MaxText     = 32 << 20 // bytes of a text that one function makes
	maxWork     = 1 << 25  // elementary steps of one function: comparisons, characters times states
	maxCaptures = 1 << 22  // the same for a regular expression that extracts or replaces: a step costs more
	maxMatches  = 1 << 23  // the same for a regular expression that only matches
	maxPattern  = 1 << 10  // bytes of a regular expression
)

// errWork is the error of a function that would exceed its bounds.
var errWork = errors.New("a function would do too much work on values this large")

// guard checks the arguments of a function before the call. CEL counts the cost
// of a function after the call, which is too late if one call can fill the
// memory.
type guard func(args []ref.Val) error

func guarded(check guard, f functions.FunctionOp) functions.FunctionOp {
	return func(args ...ref.Val) ref.Val {
		if err := check(args); err != nil {
			return types.WrapErr(err)
		}
		return f(args...)
	}
}

// guards are the guards by overload.
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

// size is the length of a text in bytes or of a list in elements, and 1 for
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
	if n < 0 || n > MaxText {
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
		if n += size(it.Next()) + separator; n > MaxText {
			return celjson.ErrTooLarge
		}
	}
	return nil
}

// guardFormat assumes that a clause of a format makes at most eight times the
// text of its value.
func guardFormat(args []ref.Val) error {
	t := texts{left: MaxText/8 - size(args[0])}
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
	if n := size(args[2]); n > 0 && size(args[0])+1 > MaxText/n {
		return celjson.ErrTooLarge
	}
	return guardPattern(args)
}

// patternSize returns the number of states of a regular expression.
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
