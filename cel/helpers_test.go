package cel

import (
	"context"
	"sync"
	"testing"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/lazyjson"
)

// env is an environment with the variables of a record.
var env = sync.OnceValues(func() (*Env, error) {
	return New(Config{Record: "data", Variables: []Variable{{"data", types.DynType}, {"time", types.TimestampType}, {"type", types.StringType}}})
})

func mustEnv(t testing.TB, c Config) *Env {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func recordEnv(t testing.TB) *Env {
	t.Helper()
	e, err := env()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func program(t testing.TB, e *Env, source string) *Program {
	t.Helper()
	checked, faults := e.Check(config.Text{Value: source}, false)
	if faults != nil {
		t.Fatal(faults)
	}
	p, err := e.Program(checked, checked.Expr())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// over returns the activation for a record.
func over(t testing.TB, record string) interpreter.Activation {
	t.Helper()
	var doc lazyjson.Doc
	if err := doc.Parse([]byte(record)); err != nil {
		t.Fatal(err)
	}
	data, err := celjson.Plain(celjson.Of(doc.Root()), MaxParts)
	if err != nil {
		t.Fatal(err)
	}
	return with(t, data)
}

// with returns the activation for a value of data.
func with(t testing.TB, data any) interpreter.Activation {
	t.Helper()
	vars, err := interpreter.NewActivation(map[string]any{"data": data})
	if err != nil {
		t.Fatal(err)
	}
	return vars
}

func eval(t testing.TB, source, record string) (ref.Val, error) {
	t.Helper()
	return program(t, recordEnv(t), source).Eval(context.Background(), over(t, record))
}
