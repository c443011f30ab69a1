package pipeline

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace"

	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/supervisor"
)

// Options are settings of a process for all its flows. The zero value works.
type Options struct {
	Logger  *slog.Logger         // nil: discarded
	Metrics *metrics.Metrics     // nil: no metrics
	Tracing trace.TracerProvider // nil: no tracing
	Stdout  io.Writer            // for the stdout sink; nil: os.Stdout
	// Stall is how long a partition may have lag without progress before the flow is not ready;
	// default 2m.
	Stall time.Duration
	// FirstAssignment is how long a flow without a partition is not ready after its start; default
	// 15s. Later it is ready, because a group may have more members than partitions.
	FirstAssignment time.Duration
	// Dial opens every connection of the flows; nil: the net package. Tests set it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Loader reads flow files and builds flows for a supervisor. It owns what the flows of a process
// share, such as ports and dead letter files, so a process needs exactly one.
type Loader struct {
	o   Options
	env plan.Env
}

// NewLoader returns a Loader; zero fields of o get their defaults.
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
		Logger: o.Logger, Stdout: o.Stdout, OnGap: func() {}, OnConflict: func(bool) {},
		Listeners: new(fisohttp.Listeners), GRPCListeners: fisogrpc.NewListeners(o.Logger), Dial: o.Dial,
	}}
}

// Env returns what parts of a flow are built with, for callers that build single parts.
func (l *Loader) Env() plan.Env { return l.env }

// Load implements supervisor.Options.Load: it calls plan.Parse and returns a Plan that can be
// built.
func (l *Loader) Load(file string, data []byte) (supervisor.Plan, error) {
	p, err := plan.Parse(file, data)
	if err != nil {
		return nil, err
	}
	return &builder{Plan: p, loader: l}, nil
}

// Close closes what the flows shared. Call it when no flow runs any more.
func (l *Loader) Close() {
	l.env.Listeners.Close()
	l.env.GRPCListeners.Close()
}

// builder is a plan with the Loader that builds it. It implements supervisor.Plan.
type builder struct {
	*plan.Plan
	loader *Loader
}

// Build builds the parts of the flow. It opens no connection.
func (b *builder) Build() (supervisor.Pipeline, error) { return b.loader.Build(b.Plan) }
