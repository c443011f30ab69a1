package cli

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/telemetry"
)

// defaultMetricsAddr is the address for health and metrics if neither flag nor environment sets
// one.
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
			if metricsAddr == "" {
				metricsAddr = a.Getenv("FISO_METRICS_ADDR")
			}
			log, err := a.Logger(level)
			if err != nil {
				return err
			}
			return a.Traced(c.Context(), Version, log, func(tracing trace.TracerProvider) error {
				i := instance{paths: a.paths(args), metricsAddr: metricsAddr, log: log, tracing: tracing, stdout: a.Out, startTimeout: startTimeout}
				return i.run(c.Context())
			})
		},
	}
	c.Flags().StringVar(&metricsAddr, "metrics-addr", "", "where /healthz, /readyz and /metrics listen (FISO_METRICS_ADDR, "+defaultMetricsAddr+")")
	c.Flags().StringVar(&level, "log-level", "", "debug, info, warn or error (FISO_LOG_LEVEL, info)")
	c.Flags().DurationVar(&startTimeout, "start-timeout", 30*time.Second, "how long brokers may take to answer before the start is refused (0: for ever)")
	return c
}

// runFlows runs the flows of one directory for the demo, with metrics on a free port.
func runFlows(ctx context.Context, dir string, log io.Writer, listening func(addr string)) error {
	i := instance{paths: []string{dir}, metricsAddr: "127.0.0.1:0", log: telemetry.Logger(log, slog.LevelInfo, false), stdout: io.Discard, listening: listening}
	return i.run(ctx)
}
