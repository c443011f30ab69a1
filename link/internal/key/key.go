// Package key makes the key of a record by a CEL expression over a call. An
// expression is checked when the configuration is read, and bounded in size,
// depth and cost.
package key

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/lsm/fiso/link/internal/call"
)

// Bounds of one evaluation.
const (
	maxCost        = 10_000      // steps, as CEL counts them
	patience       = time.Second // some steps walk the whole body
	interruptEvery = 10          // rounds of a loop between two looks at the context
	maxKey         = 4 << 10     // bytes of a key
)

// Call is what an expression sees.
type Call struct {
	Method, Path, Query string
	Header              call.Header
	Body                []byte
}

// Expression is one that was checked. It is safe for concurrent use. A nil
// *Expression makes no key.
type Expression struct {
	program  cel.Program
	usesData bool
}

// Of is the key of a call; nil: it has none. An error is about this call: a
// field that it lacks, a body that is no JSON. It does not show the body.
func (e *Expression) Of(ctx context.Context, c Call) ([]byte, error) {
	if e == nil {
		return nil, nil
	}
	vars := map[string]any{varMethod: c.Method, varPath: c.Path, varQuery: c.Query, varHeaders: names(c.Header), varData: types.NullValue}
	if e.usesData {
		data, err := decode(c.Body)
		if err != nil {
			return nil, err
		}
		vars[varData] = data
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	v, _, err := e.program.ContextEval(ctx, vars)
	switch {
	case err == nil:
		return text(v)
	case errors.Is(context.Cause(ctx), errSlow):
		return nil, errSlow
	}
	return nil, explain(err)
}

var (
	errUnfit = errors.New("a value of the call does not fit the expression")
	errSlow  = fmt.Errorf("it takes longer than %v", patience)
)

// explain is what CEL says, where that is about the expression: it may also quote
// values of the call.
func explain(err error) error {
	const missing = "no such key: "
	if strings.HasPrefix(err.Error(), missing) || strings.Contains(err.Error(), "cost limit") {
		return err
	}
	return errUnfit
}

// names are the fields by their names in lower case; of those that repeat, the
// last.
func names(h call.Header) map[string]string {
	out := make(map[string]string, len(h))
	for _, f := range h {
		out[strings.ToLower(f.Name)] = f.Value
	}
	return out
}

// text is a key as bytes.
func text(v ref.Val) ([]byte, error) {
	var s string
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.String:
		s = string(v)
	case types.Int:
		s = strconv.FormatInt(int64(v), 10)
	case types.Uint:
		s = strconv.FormatUint(uint64(v), 10)
	case types.Double:
		if f := float64(v); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			s = strconv.FormatInt(int64(f), 10)
			break
		}
		s = strconv.FormatFloat(float64(v), 'g', -1, 64)
	default:
		return nil, fmt.Errorf("a key is a text or a number, and this is of type %s", v.Type().TypeName())
	}
	if len(s) > maxKey {
		return nil, fmt.Errorf("a key has at most %d bytes, and this has %d", maxKey, len(s))
	}
	if s == "" {
		return nil, nil
	}
	return []byte(s), nil
}

var errNoJSON = errors.New("the body is not JSON")

// decode reads a body. Whole numbers keep their digits: as doubles, the ids of
// two customers could become one.
func decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, errNoJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoJSON // something stands behind it
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return u
		}
		f, err := v.Float64()
		if err != nil {
			return string(v) // beyond what a double holds: its digits
		}
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}
