package command

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/telemetry"
)

// Logger is the log on standard error. level is that of a flag; "": that of
// FISO_LOG_LEVEL, or info. A level that is not known is a usage error.
func (a *App) Logger(level string) (*slog.Logger, error) {
	if level == "" {
		level = a.Getenv("FISO_LOG_LEVEL")
	}
	l, err := telemetry.ParseLevel(level)
	if err != nil {
		return nil, usageError{err}
	}
	return telemetry.Logger(a.Err, l, a.Terminal), nil
}

// lastSpansTimeout bounds how long the last traces may take to be sent.
const lastSpansTimeout = 3 * time.Second

// Traced calls run with traces by OTEL_*, and sends the last ones when it
// returns. The provider is nil where traces are off. release is that of
// VersionCommand.
func (a *App) Traced(ctx context.Context, release string, log *slog.Logger, run func(trace.TracerProvider) error) error {
	shutdown, provider, err := telemetry.Tracing(ctx, a.Name, version(release), log)
	if err != nil {
		return err
	}
	if !telemetry.Enabled(provider) {
		provider = nil
	}
	err = run(provider)
	sendLast(ctx, shutdown, log)
	return err
}

func sendLast(ctx context.Context, shutdown func(context.Context) error, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpansTimeout)
	defer cancel()
	if err := shutdown(ctx); err != nil {
		log.Warn("the last traces were not sent", "error", err)
	}
}
