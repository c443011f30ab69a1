package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

// expression is a CEL expression that is evaluated on an outgoing event.
type expression interface {
	// Eval returns nil for null.
	Eval(ctx context.Context, e *cloudevent.Event) ([]byte, error)
}

// keySink sets the key of each event to the value of an expression. If the expression fails, the
// event cannot be sent.
type keySink struct {
	connector.BatchSink
	key expression
}

func (k *keySink) Send(ctx context.Context, e *cloudevent.Event) error {
	keyed, err := k.withKey(ctx, e)
	if err != nil {
		return err
	}
	return k.BatchSink.Send(ctx, keyed)
}

func (k *keySink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	var (
		accepted []*cloudevent.Event
		index    []int // index in events of each accepted event
		errs     = make([]error, len(events))
		failed   bool
	)
	for i, e := range events {
		keyed, err := k.withKey(ctx, e)
		if err != nil {
			errs[i], failed = err, true
			continue
		}
		accepted, index = append(accepted, keyed), append(index, i)
	}
	if len(accepted) > 0 {
		for i, err := range k.BatchSink.SendBatch(ctx, accepted) {
			errs[index[i]] = err
			failed = failed || err != nil
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// withKey returns a copy of e with the key: a sink must not change its events.
func (k *keySink) withKey(ctx context.Context, e *cloudevent.Event) (*cloudevent.Event, error) {
	key, err := keyOf(ctx, k.key, e)
	if err != nil {
		return nil, err
	}
	keyed := *e
	keyed.Key = key
	return &keyed, nil
}

// keyOf evaluates the expression for the key of a record or an event.
func keyOf(ctx context.Context, x expression, e *cloudevent.Event) ([]byte, error) {
	key, err := x.Eval(ctx, e)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("compute the record's key: %w", ctx.Err())
		}
		return nil, connector.AsUnsendable(fmt.Errorf("compute the record's key: %w", err))
	}
	return key, nil
}

// keyExpression returns the expression for a key, if there is one.
func keyExpression(text config.Text) config.Fields {
	if text.IsZero() {
		return nil
	}
	return config.Fields{{Name: "key", Value: text}}
}

// keyAddition returns the key that a sink sends with an event; x is nil for the key of the
// incoming record.
func keyAddition(ctx context.Context, x expression, e *cloudevent.Event) (additions, error) {
	if x == nil {
		return additions{key: e.Key}, nil
	}
	key, err := keyOf(ctx, x, e)
	return additions{key: key}, err
}

func (c *kafkaSink) expressions() config.Fields { return keyExpression(c.Key) }

func (c *kafkaSink) additions(ctx context.Context, e *cloudevent.Event) (additions, error) {
	return keyAddition(ctx, c.key, e)
}

// Check calls Check of the inner sink.
func (k *keySink) Check(ctx context.Context) []connector.Step {
	if c, ok := k.BatchSink.(connector.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// compile compiles the key expression and limits how long the producer keeps an event that it
// cannot send. The producer looks for the topic for DeliveryTimeout, and then tries to send for as
// long again. Both must end before the drain timeout: otherwise the producer could store the event
// after it was handed back, and the member that has it then would deliver it too.
func (c *kafkaSink) compile(key, name string, f *spec.Flow) error {
	c.DeliveryTimeout = max(time.Second, min(c.DeliveryTimeout, f.Delivery.DrainTimeout*2/5))
	if c.Key.IsZero() {
		return nil
	}
	x, err := transform.NewExpression(key+".config.key", c.Key)
	if err != nil {
		return err
	}
	c.key = x
	return nil
}
