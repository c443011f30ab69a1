package pipeline

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace"

	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/supervisor"
)

// Options are what a process decides for all its flows. The zero value works.
type Options struct {
	Logger  *slog.Logger         // nil: discarded
	Metrics *metrics.Metrics     // nil: nobody counts
	Tracing trace.TracerProvider // nil: no tracing, at no cost
	Stdout  io.Writer            // of the stdout sink; nil: os.Stdout
	// Stall is how long a partition may have lag without progress before its
	// flow is not ready; default 2m.
	Stall time.Duration
	// FirstAssignment is how long a flow may wait for its first partition
	// before it counts as ready without one, as a member of a group with more
	// members than partitions is; default 15s.
	FirstAssignment time.Duration
	// Dial opens every connection of the flows, for tests on a network of
	// their own; nil: the net package does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Loader reads flow files for a supervisor, and builds what they say. What the
// flows of a process share, ports and dead letter files, is the Loader's; so a
// process needs one.
type Loader struct {
	o   Options
	env plan.Env
}

// NewLoader fills in the defaults of o.
func NewLoader(o Options) *Loader {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stall <= 0 {
		o.Stall = 2 * time.Minute
	}
	if o.FirstAssignment <= 0 {
		o.FirstAssignment = 15 * time.Second
	}
	return &Loader{o: o, env: plan.Env{
		Logger: o.Logger, Stdout: o.Stdout, OnGap: func() {},
		Listeners: new(fisohttp.Listeners), Dial: o.Dial,
	}}
}

// Env is what parts of a flow are built with, for those who build single ones.
func (l *Loader) Env() plan.Env { return l.env }

// Load is supervisor.Options.Load: plan.Parse, with the means to build.
func (l *Loader) Load(file string, data []byte) (supervisor.Plan, error) {
	b, err := plan.Parse(file, data)
	if err != nil {
		return nil, err
	}
	return &builder{Plan: b, loader: l}, nil
}

// Close closes what the flows shared, once none runs any more.
func (l *Loader) Close() { l.env.Listeners.Close() }

// builder is a plan that can be built.
type builder struct {
	*plan.Plan
	loader *Loader
}

// Build makes the flow's parts. It connects to nothing.
func (d *builder) Build() (supervisor.Pipeline, error) { return d.loader.Build(d.Plan) }
