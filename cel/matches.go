package cel

import (
	"regexp"
	"sync/atomic"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// guardedMatches is the name of matches() in a program. It differs from the
// name in an expression: otherwise cel-go would replace a call with a constant
// pattern by its own, which has no bounds.
const guardedMatches = "matches@guarded"

// pattern is a compiled regular expression.
type pattern struct {
	source string
	re     *regexp.Regexp
	states int
}

func newPattern(source string) (*pattern, error) {
	n, err := patternSize(source)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, errPattern
	}
	return &pattern{source, re, n}, nil
}

// newMatches is matches() with a check of the work before it is done. It keeps
// the last pattern, which is the only one if it is a constant.
func newMatches(call interpreter.InterpretableCall) (interpreter.InterpretableCall, error) {
	var last atomic.Pointer[pattern]
	if constant, ok := call.Args()[1].(interpreter.InterpretableConst); ok {
		if source, ok := constant.Value().(types.String); ok {
			p, err := newPattern(string(source))
			if err != nil {
				return nil, err
			}
			last.Store(p)
		}
	}
	match := func(args ...ref.Val) ref.Val {
		s, ok := args[0].(types.String)
		source, ok2 := args[1].(types.String)
		if !ok || !ok2 {
			return types.NewErr("no such overload") // not cel-go's error value, which all programs share and label
		}
		p := last.Load()
		if p == nil || p.source != string(source) {
			var err error
			if p, err = newPattern(string(source)); err != nil {
				return types.WrapErr(err)
			}
			last.Store(p)
		}
		if len(s) > maxMatches/p.states {
			return types.WrapErr(errWork)
		}
		return types.Bool(p.re.MatchString(string(s)))
	}
	return interpreter.NewCall(call.ID(), guardedMatches, call.OverloadID(), call.Args(), match), nil
}
