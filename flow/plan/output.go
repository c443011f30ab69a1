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

// output is one sink of the flow, decoded and with the defaults of the flow.
type output struct {
	spec.Output
	key             string // path in the file: sink, sinks[0], …
	handling        spec.ErrorHandling
	sink            sink
	deadLetterQueue deadLetters // nil: no place for dead letters

	sinkKey, deadLetterKey string
}

// decodeOutputs decodes the sinks. spec.Parse has already reported unknown types.
func (p *Plan) decodeOutputs(c *checker) []*output {
	f := p.Flow
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
			if o.Batch != nil || f.Delivery.Batch != nil && !p.hasManySinks() {
				out.sink.wantBatches()
			}
			c.add(o.Config.Decode(out.sink))
			c.add(out.sink.compile(out.key, o.Name, f))
		}
		instead := ""
		if o.ErrorHandling.DeadLetter.Type == "" {
			instead = o.ErrorHandling.DeadLetterTopic
		}
		out.deadLetterQueue = p.deadLetters(c, &out.handling, instead)
		all = append(all, out)
	}
	return all
}

// batches returns the limits of a batch, or nil for a sink that takes single events.
func (o *output) batches() *delivery.Batch {
	usual := o.sink.batch()
	if b := o.Batch; b != nil && usual != nil {
		return &delivery.Batch{MaxEvents: b.MaxEvents, MaxBytes: int64(b.MaxBytes), MaxWait: b.MaxWait}
	}
	return usual
}

// hasManySinks reports whether the flow uses sinks instead of sink.
func (p *Plan) hasManySinks() bool { return len(p.Flow.Sinks) > 0 }

// handling returns how the engine handles failures.
func handling(e spec.ErrorHandling, l deadletter.Writer) delivery.Handling {
	return delivery.Handling{DeadLetter: l, Retry: retry(e), MaxRetries: e.MaxRetries, OnExhausted: e.OnExhausted}
}

func retry(e spec.ErrorHandling) backoff.Policy {
	return backoff.Policy{Kind: e.Backoff, Initial: e.InitialInterval, Max: e.MaxInterval, Jitter: e.Jitter}
}

// Outputs are the sinks and dead letter queues of a flow. They hold connections. Versions of a
// flow with the same settings share them.
type Outputs struct {
	sinks   map[string]connector.Sink
	letters map[string]deadletter.Writer
}

// Outputs builds the outputs of the plan, and reuses those of old that have the same settings. It
// opens dead letter files, but no connection.
func (p *Plan) Outputs(env Env, old *Outputs) (*Outputs, error) {
	if old == nil {
		old = &Outputs{}
	}
	o := &Outputs{sinks: map[string]connector.Sink{}, letters: map[string]deadletter.Writer{}}
	err := p.build(o, env, old)
	if err != nil {
		_ = o.Without(old).Close(context.Background()) // nothing was sent
		return nil, err
	}
	return o, nil
}

func (p *Plan) build(o *Outputs, env Env, old *Outputs) error {
	for _, out := range p.outputs {
		s, ok := old.sinks[out.sinkKey]
		if !ok {
			var err error
			if s, err = out.sink.build(env); err != nil {
				return fmt.Errorf("build the sink %s: %w", out.Name, err)
			}
		}
		o.sinks[out.sinkKey] = s
	}
	if err := o.openLetters(p.deadLetterKey, p.deadLetterQueue, env, old); err != nil {
		return err
	}
	for _, out := range p.outputs {
		if err := o.openLetters(out.deadLetterKey, out.deadLetterQueue, env, old); err != nil {
			return err
		}
	}
	return nil
}

// openLetters builds a dead letter queue unless o already has it, and reuses that of old.
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

// Without returns the outputs of o that other does not use.
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

// Close closes the sinks first, because their failures may become dead letters, and then the dead
// letter queues. It returns the first error.
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

// Version returns everything behind the source, for an engine.
func (p *Plan) Version(o *Outputs) *delivery.Version {
	v := &delivery.Version{Transformer: p.process, Handling: handling(p.Flow.ErrorHandling, o.letters[p.deadLetterKey])}
	for _, out := range p.outputs {
		v.Outputs = append(v.Outputs, delivery.Output{
			Name: out.Name, Sink: o.sinks[out.sinkKey], Handling: handling(out.handling, o.letters[out.deadLetterKey]),
			StopTheLine: out.handling.StopTheLine.Consecutive, CountOutages: out.handling.Outage == "count", Batch: out.batches(),
		})
	}
	return v
}

// Engine returns the configuration of the engine, without logger and observers.
func (p *Plan) Engine() delivery.Config {
	d := p.Flow.Delivery
	return delivery.Config{Name: p.Flow.Name, Ordering: d.Ordering, MaxInFlight: d.MaxInFlight, DrainTimeout: d.DrainTimeout}
}

// fault returns a fault of a key of the sink's config.
func (o *output) fault(key, format string, args ...any) *config.Error {
	return o.Config.Fault(key, format, args...)
}
