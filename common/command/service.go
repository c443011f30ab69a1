package command

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/telemetry"
)

// Logger returns the log on standard error. level is the value of a flag; "" uses
// FISO_LOG_LEVEL, or info. An unknown level is a usage error.
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

// lastSpansTimeout bounds how long sending the last traces may take.
const lastSpansTimeout = 3 * time.Second

// Traced calls run with a provider of traces that the OTEL_* variables configure, and
// sends the last traces when run returns. The provider is nil if traces are off.
// release is that of VersionCommand.
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
		log.Warn("last traces lost", "error", err)
	}
}
