package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

// expression is a CEL expression that is evaluated on a finished event.
type expression interface {
	// Eval gives nil for null.
	Eval(ctx context.Context, e *cloudevent.Event) ([]byte, error)
}

// keySink gives each event the key that an expression makes of it. An event that
// the expression fails on is refused for good.
type keySink struct {
	connector.BatchSink
	key expression
}

func (k *keySink) Send(ctx context.Context, e *cloudevent.Event) error {
	own, err := k.withKey(ctx, e)
	if err != nil {
		return err
	}
	return k.BatchSink.Send(ctx, own)
}

func (k *keySink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	var (
		good   []*cloudevent.Event
		at     []int // where each of good stood
		errs   = make([]error, len(events))
		failed bool
	)
	for i, e := range events {
		own, err := k.withKey(ctx, e)
		if err != nil {
			errs[i], failed = err, true
			continue
		}
		good, at = append(good, own), append(at, i)
	}
	if len(good) > 0 {
		for i, err := range k.BatchSink.SendBatch(ctx, good) {
			errs[at[i]] = err
			failed = failed || err != nil
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// withKey is a copy of e with its key: a sink does not change what it is given.
func (k *keySink) withKey(ctx context.Context, e *cloudevent.Event) (*cloudevent.Event, error) {
	key, err := k.key.Eval(ctx, e)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("make the record's key: %w", ctx.Err())
		}
		return nil, connector.AsPermanent(fmt.Errorf("make the record's key: %w", err))
	}
	own := *e
	own.Key = key
	return &own, nil
}

// Check is the inner sink's.
func (k *keySink) Check(ctx context.Context) []connector.Step {
	if c, ok := k.BatchSink.(connector.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// compile makes the key's expression, and bounds how long the producer keeps an
// event that it cannot send. It looks for the topic for as long, and then tries:
// both must be over within the drain, or it would store the event after it was
// handed back, beside the copy of whoever has it by then.
func (c *kafkaSink) compile(key string, f *spec.Flow) error {
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
