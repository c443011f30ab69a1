// Package telemetry sets up logs and OpenTelemetry traces of a process. Programs log by
// log/slog; zerolog writes the lines. Both results are values to pass on; nothing
// global is set.
//
//	level, err := telemetry.ParseLevel(os.Getenv("FISO_LOG_LEVEL"))
//	log := telemetry.Logger(os.Stderr, level, telemetry.Terminal(os.Stderr))
//	shutdown, provider, err := telemetry.Tracing(ctx, "fiso-flow", version, log)
//	defer shutdown(ctx)
package telemetry
