package proxy

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// attempt makes one attempt. Without an answer, what it took is released here, also
// after a panic; with an answer, releaseAttempt releases it once the answer was read,
// because an answer that breaks off is a failure of the target.
func (m *attempts) attempt(ctx context.Context) (a *http1.Answer, err error) {
	t := m.c.Target
	path := uint64(0)
	if m.c.record.Mode != "delivery" {
		// A single path that fails does not open the circuit for applications. A worker
		// would go on to the end of its topic, so its failures count for the target.
		path = pathNumber(m.c.Path)
	}
	permit, wait, ok := t.Breaker.AllowAt(path)
	if !ok {
		return nil, &refusal{code: call.CircuitOpen, detail: "the target failed too often, so it is not called for a while", after: max(wait, time.Second)}
	}
	m.permit, m.outcome, m.path, m.timedOut = permit, resilience.Inconclusive, 0, false
	defer func() {
		if a == nil {
			m.releaseAttempt()
		}
	}()
	out := m.outgoing()
	m.body.describeBody(out)
	m.last = out
	ctx = m.beginSpan(ctx, out)
	defer func() { m.endHead(ctx, a, err) }()
	if t.Credential != nil {
		if err := t.Credential.Apply(ctx, out); err != nil {
			return nil, credentialFailure(ctx, err)
		}
	}
	m.c.record.Attempts++
	address, free, err := t.Endpoints.Pick(ctx, m.tried)
	if err != nil {
		err = &http1.Error{Reason: reasonOf(ctx, http1.ReasonConnect), Err: err}
		m.outcome = outcomeOf(nil, err)
		return nil, err
	}
	m.releaseEndpoint = free
	m.tracePeer(address)
	if m.tried == nil {
		m.tried = m.address[:0]
	}
	if !slices.Contains(m.tried, address) {
		m.tried = append(m.tried, address)
	}
	a, err = m.send(ctx, address, out)
	m.outcome = outcomeOf(a, err)
	if m.unprocessed.unserved >= maxUnserved && call.ReasonOf(err) == call.ReasonUnserved {
		m.outcome = resilience.Failure // each of its connections goes away, which is more than they come to
	}
	if err != nil {
		err = m.excuseTarget(err)
	} else {
		m.path = path
	}
	if permit.Trial() && (m.outcome != resilience.Success || isStream(a) || a.Upgraded != nil) {
		// A failed attempt is over, and the next attempt must know its outcome. A trial
		// that is a stream may last, but the calls that wait for its verdict must not.
		m.noteOutcome()
	}
	return a, err
}

// excuseTarget makes the outcome of a failed attempt inconclusive if its application,
// and not the target, took the time.
func (m *attempts) excuseTarget(err error) error {
	l, complete := &m.limit, m.body.complete()
	switch call.ReasonOf(err) {
	case http1.ReasonTimeout:
		began := waitMark{}
		switch {
		case limitEnded(l):
		case m.timedOut:
			began = m.limitMark
		default:
			return err // a limit that does not depend on the application
		}
		if !l.callerSlowSince(began) {
			return err
		}
		m.outcome = resilience.Inconclusive
		if !complete {
			return &http1.Error{Reason: http1.ReasonBody, Sent: true, Err: os.ErrDeadlineExceeded}
		}
	case http1.ReasonReset:
		if !complete && l.callerPausedLong() {
			m.outcome = resilience.Inconclusive
		}
	}
	return err
}

// pathNumber is a hash of a path without its segments that contain a digit: those
// are ids, and there are too many of them.
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

// send gives the attempt to the transport; perAttempt bounds the time until the head
// of the answer.
func (m *attempts) send(ctx context.Context, address string, out *http1.Outgoing) (a *http1.Answer, err error) {
	t := m.c.Target
	m.body.attachBody(out)
	returned := false
	defer func() {
		if !returned && out.Body != nil {
			_ = out.Body.Close() // after a panic nothing else closes it, and the call would wait for it
		}
	}()
	var timer *time.Timer
	if d := t.Spec.Timeouts.PerAttempt; d > 0 {
		attempt := &callctx.Context{}
		m.limitMark = m.limit.markNow()
		attempt.Begin(ctx)
		ctx, m.end = attempt, attempt.End
		timer = time.AfterFunc(d, func() { attempt.End(context.DeadlineExceeded) })
	}
	a, err = t.Transport.RoundTrip(ctx, address, out, m.interim)
	returned = true
	if m.timedOut = timer != nil && !timer.Stop(); m.timedOut && err == nil {
		_ = a.Body.Close() // the call has ended
		if a.Upgraded != nil {
			_ = a.Upgraded.Close() // as above
		}
		return nil, &http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: context.DeadlineExceeded}
	}
	return a, err
}

// outgoing is the next attempt, whose header it may change.
func (m *attempts) outgoing() *http1.Outgoing {
	c, t := m.c, m.c.Target
	out := &m.first
	if m.last != nil {
		out = &http1.Outgoing{} // the sender of the previous attempt may still read it
	}
	*out = http1.Outgoing{
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

// outcomeOf returns what an attempt says about its target.
func outcomeOf(a *http1.Answer, err error) resilience.Outcome {
	switch {
	case err == nil && httpStatus(a) < 500:
		return resilience.Success
	case err == nil:
		return resilience.Failure
	}
	switch call.ReasonOf(err) {
	case http1.ReasonGone, http1.ReasonBody, http1.ReasonUnfit, call.ReasonUnserved:
		return resilience.Inconclusive
	}
	return resilience.Failure
}

// reasonOf returns why a call ended, or otherwise if it has not.
func reasonOf(ctx context.Context, otherwise http1.Reason) http1.Reason {
	switch {
	case limitEnded(ctx):
		return http1.ReasonTimeout
	case ctx.Err() != nil:
		return http1.ReasonGone
	}
	return otherwise
}

// credentialFailure returns the error of a call that has no credential.
func credentialFailure(ctx context.Context, err error) error {
	if reasonOf(ctx, "") == http1.ReasonGone {
		return &http1.Error{Reason: http1.ReasonGone, Err: err}
	}
	var u *target.CredentialError
	if errors.As(err, &u) {
		return &refusal{code: u.Code, detail: u.Error()}
	}
	return &refusal{code: call.CredentialUnavailable, detail: "the target's credential is unavailable"}
}
