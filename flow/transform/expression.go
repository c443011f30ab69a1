package transform

import (
	"context"
	"sync"

	"github.com/google/cel-go/common/types"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// Expression is a CEL expression in the configuration of a sink, such as a
// record key or a header. It sees the finished event: data, time, source, type,
// id and subject are those of the event that is delivered, and headers are its
// extension attributes. It is immutable and safe for concurrent use.
type Expression struct {
	x    *expression
	vars varsPool
}

// NewExpression compiles a sink's expression. key is the path of its key, such
// as sink.config.key. Faults are returned as config.Errors.
func NewExpression(key string, text config.Text) (*Expression, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	e := c.onFinished(key, text, wantBytes)
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return e, nil
}

// onFinished compiles an expression that sees the finished event.
func (c *compiler) onFinished(key string, text config.Text, want resultUse) *Expression {
	return &Expression{x: c.expression(key, text, want)}
}

// Eval returns the value for an event: a text or bytes unchanged, a number in
// decimal, a timestamp in RFC 3339, and nil for null or an optional without a
// value. Errors have a code, as those of Transform do.
func (e *Expression) Eval(ctx context.Context, event *cloudevent.Event) ([]byte, error) {
	v := e.vars.of(ctx, event)
	defer e.vars.put(v)
	result, err := e.x.value(v)
	if err != nil {
		return nil, err
	}
	if b, ok := result.(types.Bytes); ok {
		return b, nil
	}
	text, ok, err := e.x.asText(result)
	if err != nil || !ok {
		return nil, err
	}
	return []byte(text), nil
}

// holds evaluates a condition.
func (e *Expression) holds(ctx context.Context, event *cloudevent.Event) (bool, error) {
	v := e.vars.of(ctx, event)
	defer e.vars.put(v)
	return e.x.bool(v)
}

// JSONExpression is an Expression whose value is written as JSON, such as an argument of
// a workflow. It is immutable and safe for concurrent use.
type JSONExpression struct {
	t    *template
	vars varsPool
}

// NewJSONExpression is NewExpression for a value that is written as JSON.
func NewJSONExpression(key string, text config.Text) (*JSONExpression, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	e := &JSONExpression{t: c.template(key, text)}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return e, nil
}

// Append appends the value for an event to dst. Numbers keep their digits. Errors have a
// code, as those of Transform do.
func (e *JSONExpression) Append(ctx context.Context, dst []byte, event *cloudevent.Event) ([]byte, error) {
	v := e.vars.of(ctx, event)
	defer e.vars.put(v)
	return e.t.write(dst, v, len(dst)+defaultMaxOutputBytes)
}

// varsPool keeps variables for further events.
type varsPool struct{ pool sync.Pool }

// of returns the variables of a finished event.
func (p *varsPool) of(ctx context.Context, event *cloudevent.Event) *vars {
	v, _ := p.pool.Get().(*vars)
	if v == nil {
		v = new(vars)
	}
	v.ctx, v.timeout = ctx, defaultTimeout
	v.event, v.time = *event, event.Time
	if event.Data.Len() > 0 {
		v.payload = event.Data.Bytes()
	}
	for _, x := range event.Extensions {
		v.headers = append(v.headers, connector.Header{Key: x.Name, Value: []byte(x.Value)})
	}
	return v
}

func (p *varsPool) put(v *vars) {
	v.release()
	p.pool.Put(v)
}
