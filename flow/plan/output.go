package plan

import (
	"context"
	"fmt"
	"sync"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/spec"
)

// output is one sink of the flow: decoded, with what it leaves out taken from the
// flow.
type output struct {
	spec.Output
	key             string // path in the file: sink, or sinks[0] and so on
	handling        spec.ErrorHandling
	sink            sink
	deadLetterQueue deadLetters // nil: there is no place for dead letters

	sinkKey, deadLetterKey string
}

// outputsOf decodes the sinks. A type that is not known was faulted before.
func (b *Plan) outputsOf(c *checker) []*output {
	f := b.Flow
	var all []*output
	for i, o := range f.Outputs() {
		out := &output{Output: o, key: "sink", handling: f.ErrorHandling.WithOverride(&o.ErrorHandling)}
		if len(f.Sinks) > 0 {
			out.key = fmt.Sprintf("sinks[%d]", i)
		}
		if out.Batch == nil {
			out.Batch = f.Delivery.Batch
		}
		if newSink, ok := sinks[o.Type]; ok {
			out.sink = newSink()
			if o.Batch != nil || f.Delivery.Batch != nil && !b.several() {
				out.sink.wantBatches()
			}
			c.add(o.Config.Decode(out.sink))
			c.add(out.sink.compile(out.key, f))
		}
		instead := ""
		if o.ErrorHandling.DeadLetter.Type == "" {
			instead = o.ErrorHandling.DeadLetterTopic
		}
		out.deadLetterQueue = b.deadLetters(c, &out.handling, instead)
		all = append(all, out)
	}
	return all
}

// batches is when a batch is sent; nil for a sink that takes events one by one.
func (o *output) batches() *delivery.Batch {
	usual := o.sink.batch()
	if b := o.Batch; b != nil && usual != nil {
		return &delivery.Batch{MaxEvents: b.MaxEvents, MaxBytes: int64(b.MaxBytes), MaxWait: b.MaxWait}
	}
	return usual
}

// several reports whether the flow has more than one sink.
func (b *Plan) several() bool { return len(b.Flow.Sinks) > 0 }

// handling is what an engine does about failures.
func handling(e spec.ErrorHandling, l deadletter.Writer) delivery.Handling {
	return delivery.Handling{DeadLetter: l, Retry: retry(e), MaxRetries: e.MaxRetries, OnExhausted: e.OnExhausted}
}

func retry(e spec.ErrorHandling) backoff.Policy {
	return backoff.Policy{Kind: e.Backoff, Initial: e.InitialInterval, Max: e.MaxInterval, Jitter: e.Jitter}
}

// Outputs are where a flow's events go: sinks, and places for dead letters. They
// hold connections, and are shared by the versions of a flow that have the same
// settings.
type Outputs struct {
	sinks   map[string]connector.Sink
	letters map[string]deadletter.Writer
}

// Outputs builds what the plan needs, or takes it over from old where the
// settings are the same. It connects to nothing, but opens dead letter files.
func (b *Plan) Outputs(env Env, old *Outputs) (*Outputs, error) {
	if old == nil {
		old = &Outputs{}
	}
	o := &Outputs{sinks: map[string]connector.Sink{}, letters: map[string]deadletter.Writer{}}
	err := b.build(o, env, old)
	if err != nil {
		_ = o.Without(old).Close(context.Background()) // nothing was sent
		return nil, err
	}
	return o, nil
}

func (b *Plan) build(o *Outputs, env Env, old *Outputs) error {
	for _, out := range b.outputs {
		s, ok := old.sinks[out.sinkKey]
		if !ok {
			var err error
			if s, err = out.sink.build(env); err != nil {
				return fmt.Errorf("build the sink %s: %w", out.Name, err)
			}
		}
		o.sinks[out.sinkKey] = s
	}
	if err := o.openLetters(b.deadLetterKey, b.deadLetterQueue, env, old); err != nil {
		return err
	}
	for _, out := range b.outputs {
		if err := o.openLetters(out.deadLetterKey, out.deadLetterQueue, env, old); err != nil {
			return err
		}
	}
	return nil
}

// openLetters builds a place for dead letters, once.
func (o *Outputs) openLetters(key string, l deadLetters, env Env, old *Outputs) error {
	if l == nil || o.letters[key] != nil {
		return nil
	}
	w, ok := old.letters[key]
	if !ok {
		var err error
		if w, err = l.build(env); err != nil {
			return fmt.Errorf("build the dead letter queue: %w", err)
		}
	}
	o.letters[key] = w
	return nil
}

// Without is those of o that other does not use.
func (o *Outputs) Without(other *Outputs) *Outputs {
	rest := &Outputs{sinks: map[string]connector.Sink{}, letters: map[string]deadletter.Writer{}}
	for key, s := range o.sinks {
		if _, used := other.sinks[key]; !used {
			rest.sinks[key] = s
		}
	}
	for key, l := range o.letters {
		if _, used := other.letters[key]; !used {
			rest.letters[key] = l
		}
	}
	return rest
}

// Close closes all of o, the sinks first: what fails there may yet become a dead
// letter. Its error is one of them.
func (o *Outputs) Close(ctx context.Context) error {
	var first error
	var mu sync.Mutex
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
	}
	var all sync.WaitGroup
	for _, s := range o.sinks {
		all.Go(func() { note(s.Close(ctx)) })
	}
	all.Wait()
	for _, l := range o.letters {
		all.Go(func() { note(l.Close(ctx)) })
	}
	all.Wait()
	return first
}

// Version is everything behind the source, for an engine.
func (b *Plan) Version(o *Outputs) *delivery.Version {
	v := &delivery.Version{Transformer: b.process, Handling: handling(b.Flow.ErrorHandling, o.letters[b.deadLetterKey])}
	for _, out := range b.outputs {
		v.Outputs = append(v.Outputs, delivery.Output{
			Name: out.Name, Sink: o.sinks[out.sinkKey], Handling: handling(out.handling, o.letters[out.deadLetterKey]),
			StopTheLine: out.handling.StopTheLine.Consecutive, CountOutages: out.handling.Outage == "count", Batch: out.batches(),
		})
	}
	return v
}

// Engine is the configuration of the flow's engine, without those who watch it.
func (b *Plan) Engine() delivery.Config {
	d := b.Flow.Delivery
	return delivery.Config{Name: b.Flow.Name, Ordering: d.Ordering, MaxInFlight: d.MaxInFlight, DrainTimeout: d.DrainTimeout}
}

// fault is a fault of a key of the output's config.
func (o *output) fault(key, format string, args ...any) *config.Error {
	return o.Config.Fault(key, format, args...)
}
