package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/admin"
	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/pipeline"
	"github.com/lsm/fiso/flow/supervisor"
)

// lastSpans bounds how long the traces of the last events may take to be sent.
const lastSpans = 3 * time.Second

// instance is one running fiso-flow: its flows, and the server that tells how
// they stand.
type instance struct {
	paths       []string
	metricsAddr string
	log         *slog.Logger
	tracing     trace.TracerProvider // nil: off
	stdout      io.Writer
	listening   func(addr string) // may be nil
}

// run returns when ctx has ended and every flow has drained.
func (i instance) run(ctx context.Context) error {
	if i.metricsAddr == "" {
		i.metricsAddr = defaultMetricsAddr
	}
	var flows *supervisor.Supervisor // set before the server answers
	registry := prometheus.NewRegistry()
	server, err := admin.New(admin.Options{
		Addr: i.metricsAddr, Setting: "--metrics-addr or FISO_METRICS_ADDR",
		Registry: registry, Ready: func() admin.Report { return readiness(flows.Report()) }, Logger: i.log,
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
	return serve(ctx, flows, server, i.log)
}

// supervise makes the supervisor, which reads no file before it runs, and
// returns what closes the things its flows share.
func (i instance) supervise(registry *prometheus.Registry) (*supervisor.Supervisor, func(), error) {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counters, err := metrics.New(registry)
	if err != nil {
		return nil, nil, err
	}
	loader := pipeline.NewLoader(pipeline.Options{Logger: i.log, Metrics: counters, Tracing: i.tracing, Stdout: i.stdout})
	options := supervisor.Options{Paths: i.paths, Load: loader.Load, Recorder: counters, Logger: i.log}
	if w, err := supervisor.NewWatcher(i.log); err != nil {
		i.log.Warn("files are looked at every few seconds only: the system offers no more watches", "error", err)
	} else {
		options.Watcher = w
	}
	flows, err := supervisor.New(options)
	return flows, loader.Close, err
}

// serve runs the flows, and the server for as long as they take: also while
// they drain, when its answer is "not ready".
func serve(ctx context.Context, flows *supervisor.Supervisor, server *admin.Server, log *slog.Logger) error {
	serverCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(serverCtx); err != nil {
			log.Error("health and metrics are no longer served", "error", err)
		}
	}()
	err := flows.Run(ctx)
	stop()
	<-ended
	return err
}

// readiness is the supervisor's report in the server's words.
func readiness(r supervisor.Report) admin.Report {
	report := admin.Report{Ready: r.Ready, Notes: r.Notes}
	for _, f := range r.Flows {
		report.Checks = append(report.Checks, admin.Check{Name: "flow " + f.Name, OK: f.Problem == "", Reason: f.Problem})
		for _, n := range f.Notes {
			report.Notes = append(report.Notes, f.Name+": "+n)
		}
	}
	return report
}
