package proxy

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// attempt makes one. Whatever happens in it, a panic of a part included, what it
// took is given back; with an answer, by done, which is called when that was read:
// a target whose answers break is not well.
func (m *maker) attempt(ctx context.Context) (a *call.Answer, err error) {
	t := m.c.To
	path := uint64(0)
	if m.c.record.Mode != "delivery" {
		// A path that fails alone is left to the application that calls it. A worker
		// would go on to the end of its topic, so its calls are a matter of the target.
		path = pathNumber(m.c.Path)
	}
	permit, wait, ok := t.Breaker.AllowAt(path)
	if !ok {
		return nil, &refusal{code: call.CircuitOpen, detail: "the target has failed too often and is given a rest", after: max(wait, time.Second)}
	}
	m.permit, m.outcome, m.path, m.late = permit, resilience.Inconclusive, 0, false
	defer func() {
		if a == nil {
			m.done()
		}
	}()
	out := m.outgoing()
	m.body.show(out)
	m.sent = out
	ctx = m.beginSpan(ctx, out)
	defer func() { m.heard(ctx, a, err) }()
	if t.Credential != nil {
		if err := t.Credential.Apply(ctx, out); err != nil {
			return nil, unproven(ctx, err)
		}
	}
	m.c.record.Attempts++
	address, free, err := t.Endpoints.Pick(ctx, m.tried)
	if err != nil {
		err = &call.Error{Reason: reason(ctx, call.Connect), Err: err}
		m.outcome = judge(nil, err)
		return nil, err
	}
	m.free = free
	m.peer(address)
	if m.tried == nil {
		m.tried = m.address[:0]
	}
	if !slices.Contains(m.tried, address) {
		m.tried = append(m.tried, address)
	}
	a, err = m.send(ctx, address, out)
	m.outcome = judge(a, err)
	if m.untook.unserved >= maxUnserved && call.ReasonOf(err) == call.Unserved {
		m.outcome = resilience.Failure // each of its connections goes away, which is more than they come to
	}
	if err != nil {
		err = m.excuse(err)
	} else {
		m.path = path
	}
	if permit.Trial() && (m.outcome != resilience.Success || isStream(a) || a.Upgraded != nil) {
		// What failed is over, and the next attempt has to know; a trial that is
		// a stream may last, and the calls that wait for its verdict may not.
		m.note()
	}
	return a, err
}

// excuse looks at an attempt that failed without an answer: what its application
// took the time for says nothing of the target.
func (m *maker) excuse(err error) error {
	l, complete := &m.limit, m.body.complete()
	switch call.ReasonOf(err) {
	case call.Timeout:
		began := mark{}
		switch {
		case ended(l):
		case m.late:
			began = m.begun
		default:
			return err // a limit that has nothing to do with the application
		}
		if !l.slow(began) {
			return err
		}
		m.outcome = resilience.Inconclusive
		if !complete {
			return &call.Error{Reason: call.Body, Sent: true, Err: os.ErrDeadlineExceeded}
		}
	case call.Reset:
		if !complete && l.rested() {
			m.outcome = resilience.Inconclusive
		}
	}
	return err
}

// pathNumber is a number for a path, without the parts that have a digit in them:
// those are names of things, of which there are too many to tell them apart.
func pathNumber(path string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	sum, before, skip := uint64(offset), uint64(offset), false
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '/':
			sum = (sum ^ '/') * prime
			before, skip = sum, false
		case skip:
		case c >= '0' && c <= '9':
			sum, skip = before, true
		default:
			sum = (sum ^ uint64(c)) * prime
		}
	}
	return max(sum, 1)
}

// send gives the attempt to the transport, and no more than perAttempt until the
// head of the answer.
func (m *maker) send(ctx context.Context, address string, out *call.Outgoing) (a *call.Answer, err error) {
	t := m.c.To
	m.body.put(out)
	returned := false
	defer func() {
		if !returned && out.Body != nil {
			_ = out.Body.Close() // a panic: nobody else will, and the call would wait for it
		}
	}()
	var timer *time.Timer
	if d := t.Spec.Timeouts.PerAttempt; d > 0 {
		attempt := &call.Ending{}
		m.begun = m.limit.mark()
		attempt.Begin(ctx)
		ctx, m.end = attempt, attempt.End
		timer = time.AfterFunc(d, func() { attempt.End(context.DeadlineExceeded) })
	}
	a, err = t.Transport.RoundTrip(ctx, address, out, m.interim)
	returned = true
	if m.late = timer != nil && !timer.Stop(); m.late && err == nil {
		_ = a.Body.Close() // it was cut
		if a.Upgraded != nil {
			_ = a.Upgraded.Close() // the same
		}
		return nil, &call.Error{Reason: call.Timeout, Sent: true, Err: context.DeadlineExceeded}
	}
	return a, err
}

// outgoing is the next attempt, whose header it may change.
func (m *maker) outgoing() *call.Outgoing {
	c, t := m.c, m.c.To
	out := &m.first
	if m.sent != nil {
		out = &call.Outgoing{} // whoever sends the one before may still look at it
	}
	*out = call.Outgoing{
		Method: c.Method, Path: t.Spec.BasePath + c.Path, Query: c.Query, ForceQuery: c.HasQuery, Host: t.Host,
		Header: c.outgoingHeader(),
	}
	if c.websocket() {
		out.Upgrade = "websocket"
	}
	http2 := c.HTTP2 || t.Spec.HTTP2()
	if c.Trailer != nil && (http2 || c.Length < 0) {
		out.Trailer = c.trailer
	}
	if out.Trailer != nil && (c.Length < 0 || t.Spec.HTTP2() || c.Header.IsGRPC()) {
		c.announce(&out.Header)
	}
	if out.Upgrade == "" && c.Header.HasToken("TE", "trailers") {
		out.Header.Add("TE", "trailers")
	}
	return out
}

// judge is what an attempt says of its target.
func judge(a *call.Answer, err error) resilience.Outcome {
	switch {
	case err == nil && httpStatus(a) < 500:
		return resilience.Success
	case err == nil:
		return resilience.Failure
	}
	switch call.ReasonOf(err) {
	case call.Gone, call.Body, call.Unfit, call.Unserved:
		return resilience.Inconclusive
	}
	return resilience.Failure
}

// reason is why a call ended, if it did; otherwise the one that is named.
func reason(ctx context.Context, otherwise call.Reason) call.Reason {
	switch {
	case ended(ctx):
		return call.Timeout
	case ctx.Err() != nil:
		return call.Gone
	}
	return otherwise
}

// unproven is a call without its credential.
func unproven(ctx context.Context, err error) error {
	if reason(ctx, "") == call.Gone {
		return &call.Error{Reason: call.Gone, Err: err}
	}
	var u *target.Unproven
	if errors.As(err, &u) {
		return &refusal{code: u.Code, detail: u.Error()}
	}
	return &refusal{code: call.CredentialUnavailable, detail: "the target's credential cannot be had"}
}
