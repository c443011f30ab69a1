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

// Prefix begins the paths of calls to targets.
const Prefix = "/link/"

// Proxy answers calls. Its fields must not change after the first call.
type Proxy struct {
	Guard Guard
	// Target finds a target by name; release is called when the call no longer uses it.
	// A nil target: no such name.
	Target func(name string) (t *target.Target, release func())
	// Observe is called after each call. It must not block.
	Observe func(CallRecord)
	// Tracer makes the spans of calls and attempts. nil: no spans, and the
	// application's trace context is forwarded unchanged.
	Tracer trace.Tracer
	// Publish answers a call to a target of protocol kafka, and Defer one to be made
	// later (Prefer: respond-async). Their errors are made by Refuse, or are errors of
	// the application's connection. nil: such calls are refused.
	Publish, Defer func(ctx context.Context, w http1.ResponseWriter, c *Call) error
}

// Call is a call in progress.
type Call struct {
	*http1.Request
	Target *target.Target
	Path   string // canonical, without the target's base path
	Query  string
	// HasQuery: the request target had a "?".
	HasQuery      bool
	began         time.Time
	record        CallRecord
	grpcNamed     bool       // the target was named by TargetField
	responseBroke bool       // the answer broke after its head
	callerCut     bool       // it broke because of the caller, which says nothing about the target
	state         string     // the tracestate that goes with the record's Traceparent
	span          trace.Span // nil: none
}

// CallRecord is the result of a call, for metrics, logs and traces. It holds no secret:
// no query, no body, and of the header only the trace.
type CallRecord struct {
	Target, Method string // "": unknown target
	Status         int    // as the application sees it; 499: the application left
	Code           call.Code
	Detail         string // text of the problem
	Mode           string // sync, stream; async: accepted; delivery: made later; publish
	Duration       time.Duration
	Attempts       int
	Renewed        bool   // the credential was renewed after a 401
	Stack          string // stack of a panic; "": none
	// Traceparent is the W3C trace context of the call: that of its span or, without
	// traces, the application's, unchecked.
	Traceparent string
}

// statusGone is the status of a call whose application left (as in nginx).
const statusGone = 499

// ServeCall answers one call.
func (p *Proxy) ServeCall(ctx context.Context, w http1.ResponseWriter, r *http1.Request) {
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

// handleSafely runs walk, and turns a panic into an error: it must not end other calls.
// The panic value may hold secrets, so it is not shown.
func (p *Proxy) handleSafely(ctx context.Context, w http1.ResponseWriter, c *Call, walk func(*Proxy, context.Context, http1.ResponseWriter, *Call) error) (err error) {
	defer func() {
		if recover() != nil {
			c.record.Stack = string(debug.Stack())
			err = &refusal{code: call.Internal, detail: "fiso-link failed; see its log for the stack"}
		}
	}()
	return walk(p, ctx, w, c)
}

// methodLabel bounds the number of methods in metrics.
func methodLabel(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "OTHER"
}

// handle makes the call to a target and returns its answer. Its error is a *refusal, or
// an error of the application's connection.
func (p *Proxy) handle(ctx context.Context, w http1.ResponseWriter, c *Call) error {
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

// acquire takes one call of rateLimit, and one of maxConcurrent, which the caller
// returns. A call that is only accepted uses separate limits of the same size: it uses
// those of the target later, when it is made, and a slow Kafka must not block direct
// calls.
func acquire(t *target.Target, accepted bool) (place *resilience.Concurrency, err error) {
	bucket, places := t.Rate, t.Concurrency
	if accepted {
		bucket, places = t.AcceptRate, t.AcceptConcurrency
	}
	if wait, ok := bucket.Allow(); !ok {
		return nil, &refusal{code: call.RateLimited, detail: "the target's rateLimit is used up", after: wait}
	}
	if !places.TryAcquire() {
		return nil, &refusal{code: call.TooManyCalls, detail: "the target has maxConcurrent calls in flight", after: time.Second}
	}
	return places, nil
}

func handled(ctx context.Context, by func(context.Context, http1.ResponseWriter, *Call) error, w http1.ResponseWriter, c *Call) error {
	if by == nil {
		return &refusal{code: call.AsyncUnavailable, detail: "no connection to Kafka was set up"}
	}
	return by(ctx, w, c)
}

// prefersAsync reports whether the application wants its call made later (RFC 7240).
func prefersAsync(h http1.Header) bool {
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

// admit checks path and method, in the form that is sent.
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

// refusal is an error that fiso-link itself answers.
type refusal struct {
	code   call.Code
	detail string
	after  time.Duration // Retry-After; 0: none
}

func (r *refusal) Error() string { return string(r.code) + ": " + r.detail }

// Refuse returns an error that is answered as a problem with that code. It is for
// Publish and Defer.
func Refuse(code call.Code, detail string, after time.Duration) error {
	return &refusal{code: code, detail: detail, after: after}
}

// answerError answers with a problem, if the answer has not begun.
func (p *Proxy) answerError(w http1.ResponseWriter, c *Call, err error) {
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
		return // the listener cuts the answer off
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
		return // the application has left
	}
	_, _ = w.Write(body) // as above
	_ = w.End(nil)       // as above
}
