package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// attempt makes one. Whatever happens in it, a panic of a part included, what it
// took is given back; with an answer, by done, which is called when that was read:
// a target whose answers break is not well.
func (m *maker) attempt(ctx context.Context) (a *call.Answer, done func(), err error) {
	t := m.c.To
	permit, wait, ok := t.Breaker.Allow()
	if !ok {
		return nil, nil, &refusal{code: call.CircuitOpen, detail: "the target has failed too often and is given a rest", after: max(wait, time.Second)}
	}
	h := &held{c: m.c, permit: permit, outcome: resilience.Nothing}
	defer func() {
		if a == nil {
			h.release()
		}
	}()
	out := m.outgoing()
	m.body.show(out)
	m.sent = out
	ctx = m.beginSpan(ctx, out)
	defer func() { m.heard(ctx, a, err) }()
	if t.Credential != nil {
		if err := t.Credential.Apply(ctx, out); err != nil {
			return nil, nil, unproven(ctx, err)
		}
	}
	m.c.record.Attempts++
	address, picked, err := t.Endpoints.Pick(ctx, m.tried)
	if err != nil {
		err = &call.Error{Reason: reason(ctx, call.Connect), Err: err}
		h.outcome = judge(nil, err)
		return nil, nil, err
	}
	attempt, end := context.WithCancelCause(ctx)
	h.free, h.cancel = picked, end
	m.peer(address)
	if !slices.Contains(m.tried, address) {
		m.tried = append(m.tried, address)
	}
	a, err = m.send(attempt, end, address, out)
	h.outcome = judge(a, err)
	if h.outcome != resilience.Success || permit.Trial() && (isStream(a) || a.Upgraded != nil) {
		// What failed is over, and the next attempt has to know; a trial that is
		// a stream may last, and the calls that wait for its verdict may not.
		h.permit.Done(h.outcome)
		h.permit = resilience.Permit{}
	}
	return a, h.release, err
}

// held is what an attempt took, until its answer was read.
type held struct {
	c       *Call
	permit  resilience.Permit
	outcome resilience.Outcome
	free    func(resilience.Outcome) // the endpoint; nil: none was picked
	cancel  context.CancelCauseFunc  // the attempt's context; nil with free
}

// release gives everything back, with what the attempt says of its target.
func (h *held) release() {
	if h.c.broke {
		h.outcome = resilience.Failure
	}
	h.permit.Done(h.outcome)
	if h.free != nil {
		h.cancel(nil)
		h.free(h.outcome)
	}
}

// send gives the attempt to the transport, and no more than perAttempt until the
// head of the answer.
func (m *maker) send(ctx context.Context, cancel context.CancelCauseFunc, address string, out *call.Outgoing) (a *call.Answer, err error) {
	t := m.c.To
	m.body.put(out)
	returned := false
	defer func() {
		if !returned && out.Body != nil {
			_ = out.Body.Close() // a panic: nobody else will, and the call would wait for it
		}
	}()
	late := func() bool { return false }
	if d := t.Spec.Timeouts.PerAttempt; d > 0 {
		timer := time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
		late = func() bool { return !timer.Stop() }
	}
	a, err = t.Transport.RoundTrip(ctx, address, out, m.interim)
	returned = true
	if late() && err == nil {
		_ = a.Body.Close() // it was cut
		return nil, &call.Error{Reason: call.Timeout, Sent: true, Err: context.DeadlineExceeded}
	}
	return a, err
}

// outgoing is the next attempt, whose header it may change.
func (m *maker) outgoing() *call.Outgoing {
	c, t := m.c, m.c.To
	out := &call.Outgoing{
		Method: c.Method, Path: t.Spec.BasePath + c.Path, Query: c.Query, ForceQuery: c.HasQuery, Host: t.Host,
		Header: slices.Clone(m.header),
	}
	if c.websocket() {
		out.Upgrade = "websocket"
	}
	if c.HTTP2 || t.Spec.HTTP2() {
		out.Trailer = c.trailer
		if c.Header.HasToken("TE", "trailers") {
			out.Header.Add("TE", "trailers")
		}
	} else if c.Length < 0 {
		out.Trailer = c.trailer
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
	case call.Gone, call.Body, call.Unfit:
		return resilience.Nothing
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
