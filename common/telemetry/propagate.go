package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Extract returns ctx with the remote span that W3C headers name, as the parent of new
// spans. Empty or invalid headers change nothing.
func Extract(ctx context.Context, traceparent, tracestate string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, &headers{traceparent, tracestate})
}

// Inject returns the W3C headers for the span of ctx; empty if there is none.
func Inject(ctx context.Context) (traceparent, tracestate string) {
	var h headers
	propagation.TraceContext{}.Inject(ctx, &h)
	return h.parent, h.state
}

// headers holds the two headers of W3C trace context without a map.
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
