package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/link/internal/server"
)

func (a *app) runCommand() *cobra.Command {
	var o server.Options
	var level string
	c := &cobra.Command{
		Use:   "run [file]",
		Short: "Serve the targets of a configuration file until stopped",
		Long: `Serves the targets of the file, and reloads the file when it changes: calls of
targets that did not change are not cut off, and an invalid file changes nothing.

SIGTERM and Ctrl-C let calls in flight finish; a second signal exits at once.
SIGHUP is ignored (files are followed anyway), except in a terminal, where it
ends the process.

Environment: FISO_LINK_CONFIG (` + defaultFile + `), FISO_LOG_LEVEL (info;
debug logs every call), and OTEL_* as OpenTelemetry defines them: traces are sent
to OTEL_EXPORTER_OTLP_ENDPOINT. Flags and arguments override the environment.`,
		Example: `  fiso-link run config.yaml
  fiso-link run --listen-addr 127.0.0.1:3600 --log-level debug config.yaml`,
		Args: command.Args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			log, err := a.Logger(level)
			if err != nil {
				return err
			}
			o.File, o.Logger = a.file(args), log
			// net/http logs each violation of HTTP/2 by a peer with package log, so log
			// at debug level.
			slog.SetLogLoggerLevel(slog.LevelDebug)
			slog.SetDefault(o.Logger) //nolint:forbidigo // package log writes there
			return a.Traced(c.Context(), Version, log, func(tracing trace.TracerProvider) error {
				o.Tracing = tracing
				return run(c.Context(), o)
			})
		},
	}
	c.Flags().StringVar(&o.ListenAddr, "listen-addr", "", "address for calls of applications, instead of the file's listenAddr")
	c.Flags().StringVar(&o.MetricsAddr, "metrics-addr", "", "address of /healthz, /readyz and /metrics, instead of the file's metricsAddr")
	c.Flags().StringVar(&level, "log-level", "", "debug, info, warn or error (FISO_LOG_LEVEL, info)")
	return c
}

func run(ctx context.Context, o server.Options) error {
	s, err := server.New(o)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
