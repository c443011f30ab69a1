package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/admin"
	"github.com/lsm/fiso/common/reload"
	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/pipeline"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/supervisor"
)

// instance is one running fiso-flow: its flows and its admin server.
type instance struct {
	paths       []string
	metricsAddr string
	log         *slog.Logger
	tracing     trace.TracerProvider // nil: off
	stdout      io.Writer
	listening   func(addr string) // called with the address of the admin server; may be nil
	// startTimeout limits how long the servers of the sources may take to answer before the start
	// fails; 0: no limit.
	startTimeout time.Duration
}

// run returns when ctx has ended and every flow has drained.
func (i instance) run(ctx context.Context) error {
	if i.metricsAddr == "" {
		i.metricsAddr = defaultMetricsAddr
	}
	var flows *supervisor.Supervisor // set before the server answers requests
	registry := prometheus.NewRegistry()
	server, err := admin.New(admin.Options{
		Addr: i.metricsAddr, Setting: "--metrics-addr or FISO_METRICS_ADDR",
		Registry: registry, Ready: func() admin.Report { return flows.Report().Admin() }, Logger: i.log,
	})
	if err != nil {
		return err
	}
	flows, closeShared, err := i.supervise(registry)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	defer closeShared()
	if i.listening != nil {
		i.listening(server.Addr().String())
	}
	return i.serve(ctx, flows, server)
}

// supervise creates the supervisor, which reads no file before it runs. It also returns a function
// that closes what the flows share.
func (i instance) supervise(registry *prometheus.Registry) (*supervisor.Supervisor, func(), error) {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counters, err := metrics.New(registry)
	if err != nil {
		return nil, nil, err
	}
	loader := pipeline.NewLoader(pipeline.Options{Logger: i.log, Metrics: counters, Tracing: i.tracing, Stdout: i.stdout})
	options := supervisor.Options{Paths: i.paths, Load: loader.Load, Refers: plan.ReferencedFiles, Recorder: counters, Logger: i.log}
	if w, err := reload.NewWatcher(i.log); err != nil {
		i.log.Warn("cannot watch files, polling instead", "error", err)
	} else {
		options.Watcher = w
	}
	flows, err := supervisor.New(options)
	return flows, loader.Close, err
}

// serve runs the flows and the admin server. The server runs until all flows have drained;
// meanwhile it answers "not ready".
func (i instance) serve(ctx context.Context, flows *supervisor.Supervisor, server *admin.Server) error {
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() {
		if err := server.Run(beside); err != nil {
			i.log.Error("admin server failed", "error", err)
		}
	})
	others.Go(func() { followHeap(beside) })
	var refused error
	others.Go(func() {
		s := statusLogger{report: flows.Report, log: i.log, start: i.startTimeout}
		if refused = s.follow(beside); refused != nil {
			refuse(refused)
		}
	})
	err := flows.Run(ctx)
	stop()
	others.Wait()
	return errors.Join(err, refused)
}
