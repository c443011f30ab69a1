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
// attributes of OpenTelemetry's semantic conventions for HTTP. Left out is what
// may hold a person's data or a secret, although the conventions want some of
// it: url.path, url.query and url.full, every field of a header, Host included,
// and the spelling of a method that is not known. Without a Tracer nothing here
// allocates.

// Fields of W3C trace context.
const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// callerGone is the error.type of a call whose application went away.
const callerGone = "CALLER_GONE"

// isTraceField reports whether a field is one of W3C trace context. It is meant for
// everybody on the way: Connection has no say in it, and only rules remove it.
func isTraceField(name string) bool {
	switch len(name) {
	case len(tracestate):
		return http1.Same(name, tracestate)
	case len(traceparent):
		return http1.Same(name, traceparent)
	}
	return false
}

// traceOf is the trace context that a request came with. Of several
// traceparents none is to be believed (W3C Trace Context, section 3.2).
func traceOf(h call.Header) (parent, state string) {
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

// Trace is the W3C trace context that the call belongs to, for an event that it
// is stored as. Without traces it is what the application sent, as it came.
func (c *Call) Trace() (traceparent, tracestate string) { return c.record.Traceparent, c.state }

// begin begins the span of a call, under the trace that it came with. A
// traceparent that is malformed begins another trace.
func (p *Proxy) begin(ctx context.Context, c *Call) context.Context {
	c.record.Traceparent, c.state = traceOf(c.Header)
	if p.Tracer == nil {
		return ctx
	}
	name, method := spanMethod(c.record.Method)
	c.state = validState(c.state)
	ctx = telemetry.Extract(ctx, c.record.Traceparent, c.state)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		c.state = "" // it is another trace from here on
	}
	ctx, c.span = p.Tracer.Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.began), trace.WithAttributes(method))
	c.record.Traceparent, c.state = c.names(ctx)
	return ctx
}

// names is the trace context of a span of the call. A tracestate that OpenTelemetry
// does not understand is the one that the call came with.
func (c *Call) names(ctx context.Context) (parent, state string) {
	if parent, state = telemetry.Inject(ctx); state == "" {
		state = c.state
	}
	return parent, state
}

// spanMethod is a method, of those that metrics know, as name and attribute of a
// span.
func spanMethod(label string) (name string, method attribute.KeyValue) {
	name, value := label, label
	if label == "OTHER" {
		name, value = "HTTP", "_OTHER"
	}
	return name, attribute.String("http.request.method", value)
}

// end ends the span of a call with what became of it.
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
	switch { // an error of the application's is none of ours
	case r.Code != "":
		attrs = append(attrs, attribute.String("error.type", string(r.Code)))
		if r.Status >= 500 || r.Status < 400 { // below: the answer broke off
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

// beginSpan begins the span of an attempt, if the call has one, and gives out its
// trace context to carry.
func (m *attempts) beginSpan(ctx context.Context, out *call.Outgoing) context.Context {
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

// setTraceContext puts a trace context into a header, in place of what is there, unless a
// rule keeps it from the target.
func (c *Call) setTraceContext(h *call.Header, parent, state string) {
	if parent == "" || c.Target.Removes(traceparent) {
		return
	}
	h.Set(traceparent, parent)
	if state != "" && !c.Target.Removes(tracestate) {
		h.Set(tracestate, state)
	}
}

// tracePeer says which address an attempt goes to.
func (m *attempts) tracePeer(address string) {
	if m.span == nil || !m.span.IsRecording() {
		return
	}
	if at, err := netip.ParseAddrPort(address); err == nil { // not a name
		m.span.SetAttributes(attribute.String("network.peer.address", at.Addr().String()), attribute.Int("network.peer.port", int(at.Port())))
	}
}

// endHead says what came of an attempt: the head of an answer, or none. Its span
// goes on with the body.
func (m *attempts) endHead(ctx context.Context, a *call.Answer, err error) {
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
