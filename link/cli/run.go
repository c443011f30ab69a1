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
		Short: "Serve the targets of a configuration file until told to stop",
		Long: `Serves the targets of the file, and follows the file while it runs: a change is
taken over without cutting the calls of targets that did not change, and a file
that is not valid changes nothing.

SIGTERM and Ctrl-C let calls under way finish; a second signal ends at once.
SIGHUP does nothing (files are followed anyway), but ends it in a terminal.

Environment: FISO_LINK_CONFIG (` + defaultFile + `), FISO_LOG_LEVEL (info;
debug tells of every call), and OTEL_* as OpenTelemetry defines them: traces are
sent where OTEL_EXPORTER_OTLP_ENDPOINT says. Flags and arguments override it.`,
		Example: `  fiso-link run config.yaml
  fiso-link run --listen-addr 127.0.0.1:3600 --log-level debug config.yaml`,
		Args: command.Args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			log, err := a.Logger(level)
			if err != nil {
				return err
			}
			o.File, o.Logger = a.file(args), log
			// net/http tells of peers that break the rules of HTTP/2 by package log,
			// as often as they do.
			slog.SetLogLoggerLevel(slog.LevelDebug)
			slog.SetDefault(o.Logger) //nolint:forbidigo // it is where package log writes
			return a.Traced(c.Context(), Version, log, func(tracing trace.TracerProvider) error {
				o.Tracing = tracing
				return run(c.Context(), o)
			})
		},
	}
	c.Flags().StringVar(&o.ListenAddr, "listen-addr", "", "where applications call, instead of the file's listenAddr")
	c.Flags().StringVar(&o.MetricsAddr, "metrics-addr", "", "where /healthz, /readyz and /metrics listen, instead of the file's metricsAddr")
	c.Flags().StringVar(&level, "log-level", "", "debug, info, warn or error (FISO_LOG_LEVEL, info)")
	return c
}

func run(ctx context.Context, o server.Options) error {
	i, err := server.New(o)
	if err != nil {
		return err
	}
	return i.Run(ctx)
}
