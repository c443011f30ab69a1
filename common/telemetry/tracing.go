package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracing sets traces up by the environment, as OpenTelemetry defines it:
// OTEL_EXPORTER_OTLP_ENDPOINT and its kin (also …_TRACES_…: PROTOCOL, HEADERS,
// TIMEOUT, COMPRESSION, CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY),
// OTEL_TRACES_EXPORTER, OTEL_TRACES_SAMPLER and …_ARG, OTEL_BSP_*,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED. The protocol
// is http/protobuf. service and version are the resource's, unless the
// environment names another.
//
// Without an endpoint traces are off: the provider does nothing, Enabled says
// so, and shutdown is empty. An error names the variable at fault.
//
// The caller owns the provider, whose goroutine runs until shutdown, which
// sends what is left for as long as its context lasts. Spans that cannot be
// sent are dropped, and log is told at most once a minute.
func Tracing(ctx context.Context, service, version string, log *slog.Logger) (shutdown func(context.Context) error, provider trace.TracerProvider, err error) {
	off := func(context.Context) error { return nil }
	cfg, err := otlpFromEnv()
	if err != nil {
		return off, noop.NewTracerProvider(), fmt.Errorf("set up tracing: %w", err)
	}
	if cfg == nil {
		return off, noop.NewTracerProvider(), nil
	}
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithFromEnv(), // last: it wins
	)
	if err != nil {
		return off, noop.NewTracerProvider(), fmt.Errorf("set up tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := otlptrace.New(ctx, newClient(cfg, log))
	if err != nil {
		return off, noop.NewTracerProvider(), fmt.Errorf("set up tracing: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return p.Shutdown, p, nil
}

// Enabled reports whether a provider of Tracing makes spans that go anywhere,
// so that a caller can leave tracing out where it would cost.
func Enabled(provider trace.TracerProvider) bool {
	_, ok := provider.(*sdktrace.TracerProvider)
	return ok
}
