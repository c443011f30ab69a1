package proxy

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/internal/urlpath"
)

// Prefix is where calls to targets begin.
const Prefix = "/link/"

// Proxy answers calls. Its fields are set before the first call and not
// changed after.
type Proxy struct {
	Guard Guard
	// Target finds a target by name; release is called when the call no longer
	// uses it. nil: there is none of that name.
	Target func(name string) (t *target.Target, release func())
	// Observe hears of every call once it is over. It must not block.
	Observe func(CallRecord)
	// Tracer makes the spans of calls and attempts. nil: none; the trace context
	// of an application then goes on as it came.
	Tracer trace.Tracer
	// Publish answers a call of a target that publishes (protocol kafka), and
	// Defer one that is to be made later (Prefer: respond-async). Its error is
	// made by Refuse, or one of the application's connection. nil: refused.
	Publish, Defer func(ctx context.Context, w call.ResponseWriter, c *Call) error
}

// Call is a call on its way: who it is for, and what of it goes on.
type Call struct {
	*call.Request
	Target *target.Target
	Path   string // canonical, without the target's base path
	Query  string
	// HasQuery says that the request target had a "?".
	HasQuery      bool
	began         time.Time
	record        CallRecord
	grpcNamed     bool       // the target was named by TargetField
	responseBroke bool       // the answer broke after its head
	callerCut     bool       // it did, and that says nothing of the target
	state         string     // the tracestate that goes with the record's Traceparent
	span          trace.Span // nil: none
}

// CallRecord is what became of a call, for metrics, logs and traces. It holds no
// secret: neither query nor body, and of the header the trace alone.
type CallRecord struct {
	Target, Method string // "" where there is no such target
	Status         int    // as the application sees it; 499: it went away
	Code           call.Code
	Detail         string // what stands beside the code
	Mode           string // sync, stream; async: accepted; delivery: made later; publish
	Duration       time.Duration
	Attempts       int
	Renewed        bool   // the credential was renewed after a 401
	Stack          string // where the call panicked; "": it did not
	// Traceparent is the W3C trace context of the call: that of its span, or
	// without traces what the application sent, which may be anything.
	Traceparent string
}

// statusGone is the status of a call whose application went away (as nginx has it).
const statusGone = 499

// ServeCall answers one call.
func (p *Proxy) ServeCall(ctx context.Context, w call.ResponseWriter, r *call.Request) {
	c := &Call{Request: r, began: time.Now()}
	c.record = CallRecord{Method: methodLabel(r.Method), Mode: "sync"}
	ctx = p.begin(ctx, c)
	if err := p.handleSafely(ctx, w, c, (*Proxy).handle); err != nil {
		p.answerError(w, c, err)
	}
	p.observe(c)
}

func (p *Proxy) observe(c *Call) {
	c.record.Duration = time.Since(c.began)
	c.end()
	if p.Observe != nil {
		p.Observe(c.record)
	}
}

// handleSafely is walk, and survives a panic: one call must not end those of others.
// What was panicked with may hold anything, and is not shown.
func (p *Proxy) handleSafely(ctx context.Context, w call.ResponseWriter, c *Call, walk func(*Proxy, context.Context, call.ResponseWriter, *Call) error) (err error) {
	defer func() {
		if recover() != nil {
			c.record.Stack = string(debug.Stack())
			err = &refusal{code: call.Internal, detail: "fiso-link failed; its log has the stack"}
		}
	}()
	return walk(p, ctx, w, c)
}

// methodLabel keeps the number of methods that a metric may see small.
func methodLabel(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "OTHER"
}

// handle takes a call to its target and the answer back. Its error is of type
// *refusal, or one of the application's connection.
func (p *Proxy) handle(ctx context.Context, w call.ResponseWriter, c *Call) error {
	if code, detail := p.Guard.refuse(c.Request); code != "" {
		return &refusal{code: code, detail: detail}
	}
	release, err := p.route(c)
	if err != nil {
		return err
	}
	defer release()
	t := c.Target
	later := t.Spec.Async != nil && c.Upgrade == "" && !c.Header.IsGRPC() && prefersAsync(c.Header)
	place, err := acquire(t, later)
	if err != nil {
		return err
	}
	defer place.Release()
	switch {
	case t.Spec.Protocol == "kafka":
		c.record.Mode = "publish"
		return handled(ctx, p.Publish, w, c)
	case later:
		c.record.Mode = "async"
		return handled(ctx, p.Defer, w, c)
	}
	return p.perform(ctx, w, c)
}

// acquire takes a place at a target: one of rateLimit, and one of maxConcurrent,
// which the caller gives back. A call that is only accepted takes neither from the target,
// from which it will when it is made, but from others as large: where Kafka is slow
// to take calls, those to the target go on.
func acquire(t *target.Target, accepted bool) (place *resilience.Concurrency, err error) {
	bucket, places := t.Rate, t.Concurrency
	if accepted {
		bucket, places = t.AcceptRate, t.AcceptConcurrency
	}
	if wait, ok := bucket.Allow(); !ok {
		return nil, &refusal{code: call.RateLimited, detail: "the target's rateLimit is used up", after: wait}
	}
	if !places.TryAcquire() {
		return nil, &refusal{code: call.TooManyCalls, detail: "the target has maxConcurrent calls under way", after: time.Second}
	}
	return places, nil
}

func handled(ctx context.Context, by func(context.Context, call.ResponseWriter, *Call) error, w call.ResponseWriter, c *Call) error {
	if by == nil {
		return &refusal{code: call.AsyncUnavailable, detail: "no connection to Kafka was set up"}
	}
	return by(ctx, w, c)
}

// prefersAsync reports whether the application wants its call made later
// (RFC 7240).
func prefersAsync(h call.Header) bool {
	for member := range h.Tokens("Prefer") {
		name, _, _ := strings.Cut(member, ";")
		if http1.Same(strings.TrimRight(name, " \t"), "respond-async") {
			return true
		}
	}
	return false
}

// route finds the target, and checks path and method.
func (p *Proxy) route(c *Call) (release func(), err error) {
	raw, query, hasQuery := strings.Cut(c.Request.Target, "?")
	c.Query, c.HasQuery = query, hasQuery
	var name string
	path := raw
	if rest, ok := strings.CutPrefix(raw, Prefix); ok {
		name, path = rest, "/"
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			name, path = rest[:i], rest[i:]
		}
	} else if name, c.grpcNamed = c.grpcTarget(); !c.grpcNamed {
		return nil, &refusal{code: call.UnknownTarget, detail: "targets are called as /link/{target}/{path}, or by gRPC with the metadata " + TargetField}
	}
	t, release := p.Target(name)
	if t == nil {
		return nil, &refusal{code: call.UnknownTarget, detail: "there is no target of that name; the configuration lists them under targets"}
	}
	c.Target, c.record.Target = t, t.Spec.Name
	if err := c.admit(path); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// admit checks what may be called, in the one form that goes onto the wire.
func (c *Call) admit(path string) error {
	canon, err := urlpath.Path(path, c.Target.AllowsEncodedSlashes)
	switch {
	case err != nil:
		return &refusal{code: call.BadPath, detail: err.Error()}
	case !c.Target.AllowsMethod(c.Method):
		return &refusal{code: call.MethodNotAllowed, detail: "the target's allowedMethods do not have this method"}
	}
	if err := c.Target.Rules.Allow(canon); err != nil {
		return &refusal{code: call.PathNotAllowed, detail: err.Error()}
	}
	c.Path = canon
	return nil
}

// refusal is an error that fiso-link answers itself.
type refusal struct {
	code   call.Code
	detail string
	after  time.Duration // Retry-After; 0: none
}

func (r *refusal) Error() string { return string(r.code) + ": " + r.detail }

// Refuse is an error that is answered as a problem with that code, for those
// who answer calls in the proxy's place (Publish, Defer).
func Refuse(code call.Code, detail string, after time.Duration) error {
	return &refusal{code: code, detail: detail, after: after}
}

// answerError answers with a problem, if the answer has not begun.
func (p *Proxy) answerError(w call.ResponseWriter, c *Call, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		c.record.Status = statusGone
		return
	}
	c.record.Code, c.record.Detail = r.code, r.detail
	if w.Begun() {
		if c.record.Status == 0 {
			c.record.Status = r.code.Status()
		}
		return // it is cut off, and the listener sees to that
	}
	c.record.Status = r.code.Status()
	problem := call.NewProblem(r.code, c.record.Target, r.detail)
	h := problem.Header()
	if r.after > 0 {
		h.Add("Retry-After", strconv.Itoa(int((r.after+time.Second-1)/time.Second)))
	}
	if c.Header.IsGRPC() {
		answerGRPC(w, h, problem)
		return
	}
	body := problem.JSON()
	if w.Head(problem.Status, h, int64(len(body))) != nil {
		return // the application is gone
	}
	_, _ = w.Write(body) // the same
	_ = w.End(nil)       // the same
}
