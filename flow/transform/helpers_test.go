package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"

	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
)

func text(s string) config.Text { return config.Text{Value: s} }

func field(name, expr string) config.Field { return config.Field{Name: name, Value: text(expr)} }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// message is a Kafka record at orders-2-41.
func message(value string) *connector.Message {
	return &connector.Message{
		Key: []byte("customer-7"), Value: []byte(value), Time: noon,
		Position: connector.PartitionOffset("orders", 2, 41),
	}
}

func mustNew(t testing.TB, cfg Config) *Transformer {
	t.Helper()
	if cfg.Flow == "" {
		cfg.Flow = "f"
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Process returns the event of a message that becomes at most one.
func (p *Transformer) Process(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
	var one [1]delivery.Routed
	events, err := p.Transform(ctx, m, one[:0])
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events[0].Event, nil
}

// The three ways to evaluate an expression. Each gives JSON or an error.
type ways struct {
	reference cel.Program // cel-go without the options of this package, over decoded values
	lazy      *expression // this package's program over lazy values
	template  *template   // as in a flow
}

func newWays(source string) (*ways, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	w := &ways{}
	if _, w.reference, err = reference(source); err != nil {
		return nil, err
	}
	if w.template = c.template("transform.cel", text(source)); len(c.faults) > 0 {
		return nil, c.faults
	}
	checked, faults := c.env.Check(text(source), false)
	if faults != nil {
		return nil, faults
	}
	w.lazy = c.part("lazy", text(source), checked, checked.Expr())
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	if w.lazy.path != nil { // a program instead of the path
		w.lazy.path = nil
		w.lazy.program, err = c.env.Program(checked, checked.Expr(), newPlan(checked.Expr(), c.factory).decorate)
	}
	return w, err
}

// plainEnv is the reference: CEL with its libraries, without this package.
var plainEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("data", cel.DynType), cel.Variable("time", cel.TimestampType), cel.Variable("source", cel.StringType),
		cel.Variable("type", cel.StringType), cel.Variable("id", cel.StringType), cel.Variable("subject", cel.StringType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.OptionalTypes(), ext.Strings(), ext.Math(), ext.Lists(), ext.Sets(), ext.Encoders(), ext.Regex(), ext.Bindings(), ext.TwoVarComprehensions(),
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
	)
})

// reference is a program that is not optimized and counts no steps. It can be interrupted, because fuzzing finds loops.
func reference(source string) (*cel.Ast, cel.Program, error) {
	env, err := plainEnv()
	if err != nil {
		return nil, nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, nil, issues.Err()
	}
	program, err := env.Program(checked, cel.InterruptCheckFrequency(100))
	return checked, program, err
}

// evaluate returns the value of a program over a decoded document.
func evaluate(program cel.Program, doc string) (ref.Val, error) {
	data, err := decodeAll([]byte(doc))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, _, err := program.ContextEval(ctx, map[string]any{
		"data": data, "time": noon, "id": "id-1", "source": "/source", "type": "a.type", "subject": `sub"ject`,
		"headers": map[string]string{"tenant": "acme"},
	})
	return out, err
}

func newVars(t testing.TB, doc string) *vars {
	t.Helper()
	v := &vars{ctx: context.Background(), timeout: defaultTimeout, time: noon}
	v.event.ID, v.event.Source, v.event.Type, v.event.Subject = "id-1", "/source", "a.type", `sub"ject`
	v.headers = []connector.Header{{Key: "tenant", Value: []byte("acme")}}
	v.payload = []byte(doc)
	t.Cleanup(v.release)
	return v
}

func (w *ways) byReference(doc string) (string, error) {
	out, err := evaluate(w.reference, doc)
	if err != nil {
		return "", err
	}
	v, err := toGo(out)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func (w *ways) byLazy(v *vars) (string, error) {
	value, err := w.lazy.value(v)
	if err != nil {
		return "", err
	}
	out, err := celjson.Append(nil, value, defaultMaxOutputBytes)
	return string(out), err
}

func (w *ways) byTemplate(v *vars) (string, error) {
	out, err := w.template.write(nil, v, defaultMaxOutputBytes)
	return string(out), err
}

// decodeAll is encoding/json with the number types of this package.
func decodeAll(doc []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil && v != "-0" {
			return i
		}
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return u
		}
		f, _ := strconv.ParseFloat(string(v), 64)
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case nil:
		return types.NullValue
	}
	return v
}

var errNotJSON = errors.New("not a value that JSON has")

// toGo converts a CEL value to Go types, independently of celjson.
func toGo(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Timestamp:
		return v.UTC(), nil
	case types.Duration:
		return strconv.FormatFloat(v.Seconds(), 'f', -1, 64) + "s", nil
	case traits.Lister:
		all := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			e, err := toGo(it.Next())
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return all, nil
	case traits.Mapper:
		all := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			e, err := toGo(v.Get(key))
			if err != nil {
				return nil, err
			}
			name, ok := key.ConvertToType(types.StringType).(types.String)
			if !ok {
				return nil, errNotJSON
			}
			all[string(name)] = e
		}
		return all, nil
	case types.String, types.Bytes, types.Int, types.Uint, types.Double, types.Bool:
		return v.Value(), nil
	}
	return nil, errNotJSON
}

// sameJSON compares by value: it ignores the order of members and the notation of
// numbers.
func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	da, err := decodeAll([]byte(a))
	if err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	db, err := decodeAll([]byte(b))
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	ja, err := json.Marshal(asFloats(da))
	if err != nil {
		return true // a number beyond a double's range
	}
	jb, _ := json.Marshal(asFloats(db))
	return bytes.Equal(ja, jb)
}

func asFloats(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case string:
		return strings.ToValidUTF8(v, "\ufffd")
	case []any:
		for i := range v {
			v[i] = asFloats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = asFloats(v[k])
		}
	}
	return v
}
