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

// Tracing sets up traces from the environment variables that OpenTelemetry defines:
// OTEL_EXPORTER_OTLP_ENDPOINT, PROTOCOL, HEADERS, TIMEOUT, COMPRESSION, CERTIFICATE,
// CLIENT_CERTIFICATE and CLIENT_KEY (each also as OTEL_EXPORTER_OTLP_TRACES_…),
// OTEL_TRACES_EXPORTER, OTEL_TRACES_SAMPLER and …_ARG, OTEL_BSP_*, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED. The protocol is http/protobuf. service
// and version describe the resource, unless the environment overrides them.
//
// Without an endpoint traces are off: the provider does nothing, Enabled returns false,
// and shutdown does nothing. An error names the faulty variable.
//
// The caller owns the provider. Its goroutine runs until shutdown, which sends the
// remaining spans for as long as its context lasts. Spans that cannot be sent are
// dropped; log gets a warning at most once a minute.
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
		resource.WithFromEnv(), // last, so that it overrides the others
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

// Enabled reports whether the spans of a provider of Tracing are exported. A caller can
// avoid the cost of tracing if they are not.
func Enabled(provider trace.TracerProvider) bool {
	_, ok := provider.(*sdktrace.TracerProvider)
	return ok
}
