package proxy

import (
	"context"
	"errors"
	"net/netip"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/common/telemetry"
	"github.com/lsm/fiso/link/internal/call"
)

// A call has a server span, and each attempt a client span under it, with the
// attributes of OpenTelemetry's semantic conventions for HTTP. Attributes that may hold
// personal data or a secret are left out, although the conventions want some of them:
// url.path, url.query and url.full, every header field, Host included, and the spelling
// of an unknown method. Without a Tracer nothing here allocates.

// Fields of W3C trace context.
const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// callerGone is the error.type of a call whose application left.
const callerGone = "CALLER_GONE"

// isTraceField reports whether a field belongs to W3C trace context. It is meant for
// all hops, so Connection cannot remove it; only rules can.
func isTraceField(name string) bool {
	switch len(name) {
	case len(tracestate):
		return http1.Same(name, tracestate)
	case len(traceparent):
		return http1.Same(name, traceparent)
	}
	return false
}

// traceOf returns the trace context of a request. Of several traceparents none is used
// (W3C Trace Context, section 3.2).
func traceOf(h http1.Header) (parent, state string) {
	several := false
	for i := range h {
		if !isTraceField(h[i].Name) {
			continue
		}
		switch {
		case len(h[i].Name) == len(traceparent):
			several = several || parent != ""
			parent = h[i].Value
		case state == "":
			state = h[i].Value
		default:
			state += "," + h[i].Value
		}
	}
	if several {
		return "", ""
	}
	return parent, state
}

// Trace returns the W3C trace context of the call, for the event that stores it.
// Without traces it is what the application sent.
func (c *Call) Trace() (traceparent, tracestate string) { return c.record.Traceparent, c.state }

// begin begins the span of a call under the trace of its request. A malformed
// traceparent begins a new trace.
func (p *Proxy) begin(ctx context.Context, c *Call) context.Context {
	c.record.Traceparent, c.state = traceOf(c.Header)
	if p.Tracer == nil {
		return ctx
	}
	name, method := spanMethod(c.record.Method)
	c.state = validState(c.state)
	ctx = telemetry.Extract(ctx, c.record.Traceparent, c.state)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		c.state = "" // a new trace begins
	}
	ctx, c.span = p.Tracer.Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.began), trace.WithAttributes(method))
	c.record.Traceparent, c.state = c.names(ctx)
	return ctx
}

// names returns the trace context of a span of the call. A tracestate that
// OpenTelemetry cannot parse is forwarded unchanged.
func (c *Call) names(ctx context.Context) (parent, state string) {
	if parent, state = telemetry.Inject(ctx); state == "" {
		state = c.state
	}
	return parent, state
}

// spanMethod returns a method known to the metrics, as name and attribute of a span.
func spanMethod(label string) (name string, method attribute.KeyValue) {
	name, value := label, label
	if label == "OTHER" {
		name, value = "HTTP", "_OTHER"
	}
	return name, attribute.String("http.request.method", value)
}

// end ends the span of a call, with its result.
func (c *Call) end() {
	if c.span == nil {
		return
	}
	defer c.span.End()
	if !c.span.IsRecording() {
		return
	}
	r := &c.record
	attrs := []attribute.KeyValue{
		attribute.String("url.scheme", "http"), version(c.HTTP2),
		attribute.String("fiso.mode", r.Mode), attribute.Int("fiso.attempts", r.Attempts),
	}
	if r.Target != "" {
		route := Prefix + r.Target
		name, _ := spanMethod(r.Method)
		c.span.SetName(name + " " + route)
		attrs = append(attrs, attribute.String("http.route", route), attribute.String("fiso.target", r.Target))
	}
	if r.Status == statusGone {
		attrs = append(attrs, attribute.String("error.type", callerGone))
	} else {
		attrs = append(attrs, attribute.Int("http.response.status_code", r.Status))
	}
	switch { // an error of the application is not an error of the span
	case r.Code != "":
		attrs = append(attrs, attribute.String("error.type", string(r.Code)))
		if r.Status >= 500 || r.Status < 400 { // below 400: the answer was cut off
			c.span.SetStatus(codes.Error, "")
		}
	case r.Status >= 500:
		attrs = append(attrs, attribute.String("error.type", strconv.Itoa(r.Status)))
		c.span.SetStatus(codes.Error, "")
	}
	c.span.SetAttributes(attrs...)
}

func version(http2 bool) attribute.KeyValue {
	if http2 {
		return attribute.String("network.protocol.version", "2")
	}
	return attribute.String("network.protocol.version", "1.1")
}

// beginSpan begins the span of an attempt, if the call has one, and adds its trace
// context to out.
func (m *attempts) beginSpan(ctx context.Context, out *http1.Outgoing) context.Context {
	if m.c.span == nil {
		return ctx
	}
	t := m.c.Target
	name, method := spanMethod(m.c.record.Method)
	ctx, m.span = m.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(method))
	if m.span.IsRecording() {
		host, port := t.Spec.Address()
		m.span.SetAttributes(attribute.String("server.address", host), attribute.Int("server.port", port),
			version(t.Spec.HTTP2() || t.Spec.UsesTLS() && out.Header.IsGRPC()), attribute.String("fiso.target", t.Spec.Name))
		if m.resends > 0 {
			m.span.SetAttributes(attribute.Int("http.request.resend_count", m.resends))
		}
	}
	m.resends++
	parent, state := m.c.names(ctx)
	m.c.setTraceContext(&out.Header, parent, state)
	return ctx
}

// setTraceContext replaces the trace context in a header, unless a rule removes it.
func (c *Call) setTraceContext(h *http1.Header, parent, state string) {
	if parent == "" || c.Target.Removes(traceparent) {
		return
	}
	h.Set(traceparent, parent)
	if state != "" && !c.Target.Removes(tracestate) {
		h.Set(tracestate, state)
	}
}

// tracePeer records the address of an attempt.
func (m *attempts) tracePeer(address string) {
	if m.span == nil || !m.span.IsRecording() {
		return
	}
	if at, err := netip.ParseAddrPort(address); err == nil { // not a name
		m.span.SetAttributes(attribute.String("network.peer.address", at.Addr().String()), attribute.Int("network.peer.port", int(at.Port())))
	}
}

// endHead records the head of an answer, or the error. The span continues with the
// body.
func (m *attempts) endHead(ctx context.Context, a *http1.Answer, err error) {
	switch {
	case m.span == nil:
		return
	case a != nil:
		m.span.SetAttributes(attribute.Int("http.response.status_code", a.Status))
		if a.Status >= 400 {
			m.span.SetAttributes(attribute.String("error.type", strconv.Itoa(a.Status)))
			m.span.SetStatus(codes.Error, "")
		}
		return
	case err != nil:
		m.failed(m.toRefusal(ctx, err))
	default: // it panicked
		m.failed(&refusal{code: call.Internal})
	}
	m.endSpan()
}

// failed marks the span of an attempt that ended with err; nil: it did not fail.
func (m *attempts) failed(err error) {
	if m.span == nil || err == nil {
		return
	}
	kind := callerGone
	var r *refusal
	if errors.As(err, &r) {
		kind = string(r.code)
		m.span.SetStatus(codes.Error, r.detail)
	}
	m.span.SetAttributes(attribute.String("error.type", kind))
}

// endSpan ends the span of the last attempt, if it has not ended.
func (m *attempts) endSpan() {
	if m.span != nil {
		m.span.End()
		m.span = nil
	}
}
