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
		Short: "Run flows until stopped",
		Long: `Runs flows, and reloads a flow when its file changes. fiso-flow does not start with
an invalid file, a broker that does not answer or a port in use. Once it runs, an
invalid file changes nothing, and in an outage the flow holds its events.

` + pathHelp + `

SIGTERM and Ctrl-C drain: calls in flight finish, settled events are committed, and
the others go back to the source. A second signal exits at once. SIGHUP is ignored
(files are followed anyway), except in a terminal, where it drains.

Environment: FISO_CONFIG_DIR (` + defaultDir + `), FISO_METRICS_ADDR (` + defaultMetricsAddr + `),
FISO_LOG_LEVEL (info), and OTEL_* as OpenTelemetry defines them: traces are sent
to OTEL_EXPORTER_OTLP_ENDPOINT. Flags and arguments override the environment.`,
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
	c.Flags().StringVar(&metricsAddr, "metrics-addr", "", "`address` of /healthz, /readyz and /metrics (FISO_METRICS_ADDR, "+defaultMetricsAddr+")")
	c.Flags().StringVar(&level, "log-level", "", "`level` of the log: debug, info, warn or error (FISO_LOG_LEVEL, info)")
	c.Flags().DurationVar(&startTimeout, "start-timeout", 30*time.Second, "time limit for brokers to answer at the start (0: none)")
	return c
}

// runFlows runs the flows of one directory for the demo, with metrics on a free port.
func runFlows(ctx context.Context, dir string, log io.Writer, listening func(addr string)) error {
	i := instance{paths: []string{dir}, metricsAddr: "127.0.0.1:0", log: telemetry.Logger(log, slog.LevelInfo, false), stdout: io.Discard, listening: listening}
	return i.run(ctx)
}
