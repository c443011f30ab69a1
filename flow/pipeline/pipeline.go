package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/supervisor"
)

// closeTimeout bounds how long sinks and dead letter queues that nobody uses any
// more may take to let go. It is less than a supervisor's grace.
const closeTimeout = 5 * time.Second

// Pipeline is a flow that is built: see supervisor.Pipeline for what its
// methods owe.
type Pipeline struct {
	loader     *Loader
	name       string
	manyTopics bool
	log        *slog.Logger
	source     connector.Source
	engine     *delivery.Engine
	health     health

	mu      sync.Mutex // guards what Swap replaces
	outputs *plan.Outputs
}

// Build makes the parts of a flow. It connects to nothing.
func (l *Loader) Build(b *plan.Plan) (p *Pipeline, err error) {
	err = b.Guard(func() error {
		p, err = l.build(b)
		return err
	})
	return p, err
}

func (l *Loader) build(b *plan.Plan) (*Pipeline, error) {
	env := l.env
	env.Logger = l.o.Logger.With("flow", b.Name())
	cfg := b.Engine()
	cfg.Logger = env.Logger
	if l.o.Metrics != nil {
		counters := l.o.Metrics.Flow(b.Name())
		cfg.Observer, env.OnGap = counters, counters.Gap
	}
	if l.o.Tracing != nil {
		cfg.Tracer = l.o.Tracing.Tracer("github.com/lsm/fiso/flow")
	}
	source, err := b.Source(env)
	if err != nil {
		return nil, err
	}
	outputs, err := b.Outputs(env, nil)
	if err != nil {
		return nil, err
	}
	return &Pipeline{
		loader: l, name: b.Name(), manyTopics: b.ManyStreams(), log: env.Logger,
		source: source, engine: delivery.New(cfg, b.Version(outputs)), outputs: outputs,
		health: health{assigns: b.Guarantees().Assigns, stall: l.o.Stall, first: l.o.FirstAssignment},
	}, nil
}

// Run moves events until ctx ends, and returns once all are settled or handed
// back and every connection is let go of.
func (p *Pipeline) Run(ctx context.Context) error {
	p.health.begin(time.Now())
	if m := p.loader.o.Metrics; m != nil {
		defer m.Watch(p.name, p.manyTopics, p.metrics)()
	}
	err := p.engine.Run(ctx, p.source)
	p.Close()
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

// Close lets go of the sink and the place for dead letters.
func (p *Pipeline) Close() {
	p.mu.Lock()
	outputs := p.outputs
	p.mu.Unlock()
	p.release(outputs)
}

func (p *Pipeline) release(o *plan.Outputs) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := o.Close(ctx); err != nil {
		p.log.Warn("a sink or dead letter queue that is no longer used does not close", "error", err)
	}
}

// Swap takes over transform, sink and error handling of d. Sink and dead letter
// queue stay as they are, connections and all, where their settings did not
// change. It fails only before d is in force, where its parts cannot be built.
func (p *Pipeline) Swap(ctx context.Context, d supervisor.Plan) error {
	next, ok := d.(*builder)
	if !ok {
		return fmt.Errorf("cannot swap to a %T", d)
	}
	return next.Guard(func() error { return p.swap(ctx, next) })
}

func (p *Pipeline) swap(ctx context.Context, next *builder) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	env := p.loader.env
	env.Logger = p.log
	outputs, err := next.Outputs(env, p.outputs)
	if err != nil {
		return err
	}
	old := p.outputs
	if !p.engine.Swap(ctx, next.Version(outputs)) {
		p.log.Warn("calls to the replaced sink do not return: it is closed") // below
	}
	p.outputs = outputs
	p.release(old.Without(outputs))
	return nil
}

// Status says how the flow stands.
func (p *Pipeline) Status() supervisor.Status {
	return p.health.judge(time.Now(), p.sourceStatus(), p.engine.Status())
}

// sourceStatus is how the source says it stands; nothing when it does not.
func (p *Pipeline) sourceStatus() connector.Status {
	if r, ok := p.source.(connector.Reporter); ok {
		return r.Status()
	}
	return connector.Status{}
}

func (p *Pipeline) metrics() metrics.Gauges {
	return metrics.Gauges{Partitions: p.sourceStatus().Partitions, InFlight: p.engine.Status().InFlight}
}
