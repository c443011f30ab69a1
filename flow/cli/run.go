package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/telemetry"
)

// defaultMetricsAddr is where health and metrics listen when nobody says where.
const defaultMetricsAddr = ":9090"

func (a *app) runCommand() *cobra.Command {
	var (
		metricsAddr, level string
		startTimeout       time.Duration
	)
	c := &cobra.Command{
		Use:   "run [path…]",
		Short: "Run flows until told to stop",
		Long: `Runs the flows of the given files or directories, and follows changes of the
files while it runs. A file that is not valid keeps fiso-flow from starting,
and so does a broker that does not answer or a port that is in use; once it
runs, an invalid file leaves the running flow as it is, and an outage holds it.

SIGTERM and Ctrl-C drain: events under way are finished, what is settled is
committed, the rest goes back to the source. A second signal ends at once.
SIGHUP does nothing (files are followed anyway), but drains in a terminal.

Environment: FISO_CONFIG_DIR (` + defaultDir + `), FISO_METRICS_ADDR (` + defaultMetricsAddr + `),
FISO_LOG_LEVEL (info), and OTEL_* as OpenTelemetry defines them. Flags and
arguments override it.`,
		Example: `  fiso-flow run order-events.yaml
  fiso-flow run --metrics-addr 127.0.0.1:9095 --log-level debug flows/`,
		RunE: func(c *cobra.Command, args []string) error {
			if level == "" {
				level = a.Getenv("FISO_LOG_LEVEL")
			}
			if metricsAddr == "" {
				metricsAddr = a.Getenv("FISO_METRICS_ADDR")
			}
			log, err := logger(a.Err, level, a.Terminal)
			if err != nil {
				return usageError{err}
			}
			i := instance{paths: a.paths(args), metricsAddr: metricsAddr, log: log, stdout: a.Out, startTimeout: startTimeout}
			return i.traced(c.Context())
		},
	}
	c.Flags().StringVar(&metricsAddr, "metrics-addr", "", "where /healthz, /readyz and /metrics listen (FISO_METRICS_ADDR, "+defaultMetricsAddr+")")
	c.Flags().StringVar(&level, "log-level", "", "debug, info, warn or error (FISO_LOG_LEVEL, info)")
	c.Flags().DurationVar(&startTimeout, "start-timeout", 30*time.Second, "how long brokers may take to answer before the start is refused (0: for ever)")
	return c
}

func logger(w io.Writer, level string, terminal bool) (*slog.Logger, error) {
	if level == "" {
		level = "info"
	}
	l, err := telemetry.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	return telemetry.Logger(w, l, terminal), nil
}

// traced runs the instance with traces by OTEL_*.
func (i instance) traced(ctx context.Context) error {
	info, _ := debug.ReadBuildInfo()
	shutdown, provider, err := telemetry.Tracing(ctx, "fiso-flow", buildVersion(Version, info), i.log)
	if err != nil {
		return err
	}
	if telemetry.Enabled(provider) {
		i.tracing = provider
	}
	err = i.run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer cancel()
	if err := shutdown(last); err != nil {
		i.log.Warn("the last traces were not sent", "error", err)
	}
	return err
}

// runFlows is the instance of the demo: one directory, a free port.
func runFlows(ctx context.Context, dir string, log io.Writer, listening func(addr string)) error {
	l, err := logger(log, "info", false)
	if err != nil {
		return fmt.Errorf("set up the log: %w", err)
	}
	i := instance{paths: []string{dir}, metricsAddr: "127.0.0.1:0", log: l, stdout: io.Discard, listening: listening}
	return i.run(ctx)
}
