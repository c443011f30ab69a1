package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/internal/celjson"
)

func text(s string) config.Text { return config.Text{Value: s} }

func field(name, expr string) config.Field { return config.Field{Name: name, Value: text(expr)} }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// message is a Kafka record at orders-2-41.
func message(value string) *connector.Message {
	return &connector.Message{
		Key: []byte("customer-7"), Value: []byte(value), Time: noon,
		Position: connector.Position{Topic: "orders", Partition: 2, Offset: 41},
	}
}

func mustNew(t testing.TB, cfg Config) *Pipeline {
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

// The three ways to evaluate an expression. Each gives JSON or an error.
type ways struct {
	reference cel.Program // cel-go as it comes, over decoded values
	lazy      *expression // this package's program over lazy values
	template  *template   // as a flow runs it
}

func newWays(source string) (*ways, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	w := &ways{template: c.template("transform.cel", text(source))}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	ast, issues := c.env.Compile(source)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if w.reference, err = c.env.Program(ast, cel.CostLimit(maxCost)); err != nil {
		return nil, err
	}
	w.lazy = c.part("lazy", text(source), ast.NativeRep(), ast.NativeRep().Expr())
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	if w.lazy.path != nil { // make it a program all the same
		w.lazy.path = nil
		w.lazy.plan = newPlan(ast.NativeRep().Expr())
		w.lazy.program, err = c.env.Program(ast, programOptions(w.lazy.plan, false)...)
	}
	return w, err
}

func newVars(t testing.TB, doc string) *vars {
	t.Helper()
	v := &vars{ctx: context.Background(), timeout: defaultTimeout, time: noon}
	v.event.ID, v.event.Source, v.event.Type, v.event.Subject = "id-1", "/source", "a.type", `sub"ject`
	v.headers = []connector.Header{{Key: "tenant", Value: []byte("acme")}}
	if err := v.doc.Parse([]byte(doc)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.release)
	return v
}

func (w *ways) byReference(doc string) (string, error) {
	data, err := decodeAll([]byte(doc))
	if err != nil {
		return "", err
	}
	out, _, err := w.reference.Eval(map[string]any{
		"data": data, "time": noon, "id": "id-1", "source": "/source", "type": "a.type", "subject": `sub"ject`,
		"headers": map[string]string{"tenant": "acme"},
	})
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

// decodeAll is encoding/json with the numbers as this package has them.
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

// toGo is a CEL value in Go's own types, written apart from celjson.
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
				return nil, errPattern
			}
			all[string(name)] = e
		}
		return all, nil
	case types.String, types.Bytes, types.Int, types.Uint, types.Double, types.Bool:
		return v.Value(), nil
	}
	return nil, errPattern
}

// sameJSON compares by value: the order of members and the way a number is
// written do not count.
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
