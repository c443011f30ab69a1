// Package telemetry sets up what a process tells about itself: logs, written
// against log/slog with zerolog underneath, and OpenTelemetry traces. Both are
// values to pass on; nothing global is set.
//
//	level, err := telemetry.ParseLevel(os.Getenv("FISO_LOG_LEVEL"))
//	log := telemetry.Logger(os.Stderr, level, telemetry.Terminal(os.Stderr))
//	shutdown, provider, err := telemetry.Tracing(ctx, "fiso-flow", version, log)
//	defer shutdown(ctx)
package telemetry
