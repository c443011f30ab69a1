package delivery

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
)

// Span attributes follow OpenTelemetry's semantic conventions for
// messaging. Without a Tracer nothing here allocates or reads the clock.

// startSpan begins the span of an event at the time its processing began, as a
// child of the trace context of the event or else of the message. routed is
// empty if no event could be made.
func (e *Engine) startSpan(m *connector.Message, routed []Routed, begun time.Time) trace.Span {
	if e.cfg.Tracer == nil {
		return nil
	}
	var ev *cloudevent.Event
	if len(routed) > 0 {
		ev = routed[0].Event
	}
	p := m.Position
	attrs := []attribute.KeyValue{
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", p.Stream),
		attribute.String("fiso.flow", e.cfg.Name),
	}
	if p.HasPartition() {
		attrs = append(attrs,
			attribute.String("messaging.destination.partition.id", strconv.Itoa(int(p.Partition))),
			attribute.Int64("messaging.kafka.offset", p.Offset))
	}
	if ev != nil {
		attrs = append(attrs, attribute.String("messaging.message.id", ev.ID))
	}
	parent := propagation.TraceContext{}.Extract(context.Background(), parentOf(m, ev))
	_, span := e.cfg.Tracer.Start(parent, "process "+p.Stream,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(begun), trace.WithAttributes(attrs...))
	return span
}

// traceContext is a propagation.TextMapCarrier with the two headers of W3C
// Trace Context.
type traceContext struct{ parent, state string }

const (
	nameParent = "traceparent"
	nameState  = "tracestate"
)

func parentOf(m *connector.Message, ev *cloudevent.Event) *traceContext {
	find := func(name string) string {
		if ev != nil {
			if v, ok := ev.Extension(name); ok {
				return v
			}
		}
		v, _ := m.Header(name)
		return string(v)
	}
	return &traceContext{find(nameParent), find(nameState)}
}

// Get, Set and Keys implement propagation.TextMapCarrier.
func (c *traceContext) Get(name string) string {
	switch name {
	case nameParent:
		return c.parent
	case nameState:
		return c.state
	}
	return ""
}

func (c *traceContext) Set(name, value string) {
	switch name {
	case nameParent:
		c.parent = value
	case nameState:
		c.state = value
	}
}

func (c *traceContext) Keys() []string { return []string{nameParent, nameState} }

// startSend begins the span of a call of the sink, and sets the trace context
// of that span as extensions of the event. The engine owns the event, but its
// slice of extensions may be shared and is therefore replaced.
func (e *Engine) startSend(ctx context.Context, t *task) (context.Context, trace.Span) {
	if e.cfg.Tracer == nil {
		return ctx, nil
	}
	ctx, span := e.cfg.Tracer.Start(t.context(ctx), "send "+t.step.name(),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("messaging.operation.name", "send"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.message.id", t.event.ID),
			attribute.Int("fiso.retries", t.retries)))
	var c traceContext
	propagation.TraceContext{}.Inject(ctx, &c)
	if c.parent != "" {
		t.event.Extensions = withTrace(t.event.Extensions, c)
	}
	return ctx, span
}

// withTrace returns a copy of the extensions with another trace context.
func withTrace(old []cloudevent.Extension, c traceContext) []cloudevent.Extension {
	exts := make([]cloudevent.Extension, 0, len(old)+2)
	for _, x := range old {
		if x.Name != nameParent && x.Name != nameState {
			exts = append(exts, x)
		}
	}
	exts = append(exts, cloudevent.Extension{Name: nameParent, Value: c.parent})
	if c.state != "" {
		exts = append(exts, cloudevent.Extension{Name: nameState, Value: c.state})
	}
	return exts
}

func endSend(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(attribute.String("error.type", connector.ClassOf(err).String()))
	}
	span.End()
}

// endSpan ends the span of an event that was settled.
func endSpan(span trace.Span, letter *deadletter.Letter, s Status) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.String("fiso.status", s.String()))
	if letter != nil {
		span.SetStatus(codes.Error, letter.Reason)
		span.SetAttributes(attribute.String("error.type", string(letter.Code)))
	}
	span.End()
}

// withSpan returns ctx with a span, for calls and log lines.
func withSpan(ctx context.Context, span trace.Span) context.Context {
	if span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, span)
}

// context returns ctx with the span of the message.
func (t *task) context(ctx context.Context) context.Context { return withSpan(ctx, t.entry.span) }
