package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Extract is ctx with the remote span that W3C headers name, as the parent of
// spans to come. Headers that are empty or not valid change nothing.
func Extract(ctx context.Context, traceparent, tracestate string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, &headers{traceparent, tracestate})
}

// Inject is the W3C headers that name the span of ctx; empty without one.
func Inject(ctx context.Context) (traceparent, tracestate string) {
	var h headers
	propagation.TraceContext{}.Inject(ctx, &h)
	return h.parent, h.state
}

// headers carries the two headers of W3C trace context without a map.
type headers struct{ parent, state string }

func (h *headers) Get(key string) string {
	switch key {
	case "traceparent":
		return h.parent
	case "tracestate":
		return h.state
	default:
		return ""
	}
}

func (h *headers) Set(key, value string) {
	switch key {
	case "traceparent":
		h.parent = value
	case "tracestate":
		h.state = value
	}
}

func (h *headers) Keys() []string { return []string{"traceparent", "tracestate"} }
