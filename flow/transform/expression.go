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
	pool sync.Pool
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
	e := &Expression{x: c.expression(key, text, want)}
	e.pool.New = func() any { return new(vars) }
	return e
}

// Eval returns the value for an event: a text or bytes unchanged, a number in
// decimal, a timestamp in RFC 3339, and nil for null or an optional without a
// value. Errors have a code, as those of Transform do.
func (e *Expression) Eval(ctx context.Context, event *cloudevent.Event) ([]byte, error) {
	v, release := e.vars(ctx, event)
	defer release()
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
	v, release := e.vars(ctx, event)
	defer release()
	return e.x.bool(v)
}

// vars returns the variables of a finished event.
func (e *Expression) vars(ctx context.Context, event *cloudevent.Event) (v *vars, release func()) {
	v = e.pool.Get().(*vars)
	v.ctx, v.timeout = ctx, defaultTimeout
	v.event, v.time = *event, event.Time
	if event.Data.Len() > 0 {
		v.payload = event.Data.Bytes()
	}
	for _, x := range event.Extensions {
		v.headers = append(v.headers, connector.Header{Key: x.Name, Value: []byte(x.Value)})
	}
	return v, func() { v.release(); e.pool.Put(v) }
}
