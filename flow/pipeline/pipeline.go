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

// closeTimeout limits how long sinks and dead letter queues may take to close. It is shorter than
// the grace of a supervisor.
const closeTimeout = 5 * time.Second

// Pipeline is a flow that was built. It implements supervisor.Pipeline.
type Pipeline struct {
	loader     *Loader
	name       string
	manyTopics bool
	log        *slog.Logger
	source     connector.Source
	engine     *delivery.Engine
	health     health

	mu      sync.Mutex // guards the fields that Swap changes
	outputs *plan.Outputs
}

// Build builds the parts of a flow. It opens no connection.
func (l *Loader) Build(flow *plan.Plan) (p *Pipeline, err error) {
	err = flow.Guard(func() error {
		p, err = l.build(flow)
		return err
	})
	return p, err
}

func (l *Loader) build(flow *plan.Plan) (*Pipeline, error) {
	env := l.env
	env.Logger = l.o.Logger.With("flow", flow.Name())
	cfg := flow.Engine()
	cfg.Logger = env.Logger
	if l.o.Metrics != nil {
		counters := l.o.Metrics.Flow(flow.Name())
		cfg.Observer, env.OnGap, env.OnConflict = counters, counters.Gap, counters.Conflict
	}
	if l.o.Tracing != nil {
		cfg.Tracer = l.o.Tracing.Tracer("github.com/lsm/fiso/flow")
	}
	source, err := flow.Source(env)
	if err != nil {
		return nil, err
	}
	outputs, err := flow.Outputs(env, nil)
	if err != nil {
		return nil, err
	}
	return &Pipeline{
		loader: l, name: flow.Name(), manyTopics: flow.ManyStreams(), log: env.Logger,
		source: source, engine: delivery.New(cfg, flow.Version(outputs)), outputs: outputs,
		health: health{assigns: flow.Guarantees().Assigns, stall: l.o.Stall, first: l.o.FirstAssignment},
	}, nil
}

// Run moves events until ctx ends. It returns once all events are settled or handed back and all
// connections are closed.
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

// Close closes the sinks and dead letter queues.
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
		p.log.Warn("cannot close unused sink or dead letter queue", "error", err)
	}
}

// Swap replaces transform, sinks and error handling by those of to. Sinks and dead letter queues
// with unchanged settings keep their connections. Swap fails only if a part of to cannot be
// built; then nothing has changed.
func (p *Pipeline) Swap(ctx context.Context, to supervisor.Plan) error {
	next, ok := to.(*builder)
	if !ok {
		return fmt.Errorf("cannot swap to a %T", to)
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
		p.log.Warn("closing replaced sink with calls in flight") // by release, below
	}
	p.outputs = outputs
	p.release(old.Without(outputs))
	return nil
}

// Status returns the status of the flow.
func (p *Pipeline) Status() supervisor.Status {
	return p.health.judge(time.Now(), p.sourceStatus(), p.engine.Status())
}

// sourceStatus returns the status of the source, or the zero value if the source reports none.
func (p *Pipeline) sourceStatus() connector.Status {
	if r, ok := p.source.(connector.Reporter); ok {
		return r.Status()
	}
	return connector.Status{}
}

func (p *Pipeline) metrics() metrics.Gauges {
	return metrics.Gauges{Partitions: p.sourceStatus().Partitions, InFlight: p.engine.Status().InFlight}
}
