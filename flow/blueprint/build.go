package blueprint

import (
	"context"
	"fmt"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery"
)

// Source builds the flow's source. It connects to nothing.
func (b *Blueprint) Source(env Env) (connector.Source, error) {
	s, err := b.source.build(b.Flow, env)
	if err != nil {
		return nil, fmt.Errorf("build the source: %w", err)
	}
	return s, nil
}

// Outputs are where a flow's events go: the sink, and the place for dead
// letters. They hold connections, and are shared by the versions of a flow
// that have the same settings.
type Outputs struct {
	Sink    connector.Sink
	Letters deadletter.Writer // nil: the flow has none

	sinkKey, lettersKey string
}

// Outputs builds what the blueprint needs, or takes it over from old where the
// settings are the same. It connects to nothing, but opens a dead letter file.
func (b *Blueprint) Outputs(env Env, old *Outputs) (*Outputs, error) {
	o := &Outputs{sinkKey: b.sinkKey, lettersKey: b.lettersKey}
	if old != nil && old.sinkKey == o.sinkKey {
		o.Sink = old.Sink
	}
	if old != nil && old.lettersKey == o.lettersKey {
		o.Letters = old.Letters
	}
	var err error
	if o.Sink == nil {
		if o.Sink, err = b.sink.build(env); err != nil {
			return nil, fmt.Errorf("build the sink: %w", err)
		}
	}
	if o.Letters == nil && b.letters != nil {
		if o.Letters, err = b.letters.build(env); err != nil {
			_ = o.Without(old).Close(context.Background()) // nothing was sent
			return nil, fmt.Errorf("build the dead letter queue: %w", err)
		}
	}
	return o, nil
}

// Without is those of o that other does not use.
func (o *Outputs) Without(other *Outputs) *Outputs {
	rest := *o
	if other != nil && rest.Sink == other.Sink {
		rest.Sink = nil
	}
	if other != nil && rest.Letters == other.Letters {
		rest.Letters = nil
	}
	return &rest
}

// Close closes all of o, the sink first: what fails there may yet become a
// dead letter.
func (o *Outputs) Close(ctx context.Context) error {
	var err error
	if o.Sink != nil {
		err = o.Sink.Close(ctx)
	}
	if o.Letters != nil {
		if lerr := o.Letters.Close(ctx); err == nil {
			err = lerr
		}
	}
	return err
}

// Version is everything behind the source, for an engine.
func (b *Blueprint) Version(o *Outputs) *delivery.Version {
	e := b.Flow.ErrorHandling
	handling := delivery.Handling{DeadLetter: o.Letters, Retry: b.retry(), MaxRetries: e.MaxRetries, OnExhausted: e.OnExhausted}
	return &delivery.Version{Transformer: b.process, Handling: handling, Outputs: []delivery.Output{{
		Name: b.Flow.SinkName(), Sink: o.Sink, Handling: handling,
		StopTheLine: e.StopTheLine.Consecutive, Batch: b.batches(),
	}}}
}

func (b *Blueprint) retry() backoff.Policy {
	e := b.Flow.ErrorHandling
	return backoff.Policy{Kind: e.Backoff, Initial: e.InitialInterval, Max: e.MaxInterval, Jitter: e.Jitter}
}

// batches is when a batch is sent; nil for a sink that takes events one by one.
func (b *Blueprint) batches() *delivery.Batch {
	if asked := b.Flow.Delivery.Batch; asked != nil {
		return &delivery.Batch{MaxEvents: asked.MaxEvents, MaxBytes: int64(asked.MaxBytes), MaxWait: asked.MaxWait}
	}
	return b.sink.gathers()
}

// Engine is the configuration of the flow's engine, without those who watch it.
func (b *Blueprint) Engine() delivery.Config {
	d := b.Flow.Delivery
	return delivery.Config{Name: b.Flow.Name, Ordering: d.Ordering, MaxInFlight: d.MaxInFlight, DrainTimeout: d.DrainTimeout}
}
