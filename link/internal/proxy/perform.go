package proxy

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// perform makes the call, as often as is safe and useful, and streams the
// answer back.
func (p *Proxy) perform(ctx context.Context, w call.ResponseWriter, c *Call) error {
	t := c.To
	if c.Upgrade != "" && c.websocket() && t.Spec.HTTP2() {
		return &refusal{code: call.UpgradeRefused, detail: "the target speaks HTTP/2, which has no upgrade"}
	}
	body, err := newReplay(c.Request, int(t.Spec.Retry.MaxBodyBytes))
	if err != nil {
		return errBody(err)
	}
	defer body.finish()
	ctx, limit := newLimit(ctx, t.Total())
	defer limit.stop()
	defer t.Budget.Begin()()
	m := maker{c: c, body: body, header: c.outgoingHeader(), interim: func(status int, h call.Header) { _ = w.Inform(status, h) }} // the answer shows that the application is gone
	a, done, err := m.make(ctx)
	if err != nil {
		return err
	}
	defer done()
	c.record.Attempts = m.attempts
	return c.back(ctx, w, a, limit)
}

func errBody(err error) error {
	return &refusal{code: call.BadRequest, detail: "the body of the request did not come whole: " + err.Error()}
}

// limit is the total time of a call, which a stream is exempt from once it runs.
type limit struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newLimit(ctx context.Context, total time.Duration) (context.Context, *limit) {
	l := &limit{}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(total, func() { l.cancel(context.DeadlineExceeded) })
	return ctx, l
}

func (l *limit) lift() { l.timer.Stop() }

func (l *limit) stop() {
	l.timer.Stop()
	l.cancel(context.Canceled)
}

// maker makes the attempts of one call.
type maker struct {
	c        *Call
	body     *replay
	header   call.Header
	interim  func(int, call.Header)
	attempts int
	sent     *call.Outgoing // the last attempt
	renewed  bool
	tried    []string
}

// make makes attempts until one has an answer for the application. done gives
// back what the last one holds, and is called when its answer was read.
func (m *maker) make(ctx context.Context) (a *call.Answer, done func(), err error) {
	var giveBack func() // of the retry budget
	defer func() {
		if giveBack != nil {
			giveBack()
		}
	}()
	for {
		a, done, err = m.attempt(ctx)
		if err == nil && a.Status == 401 && m.renew(ctx) {
			m.forget(a, done)
			continue // with another credential; no attempt was counted for this
		}
		m.attempts++
		wait, again := m.again(ctx, a, err)
		if !again {
			break
		}
		if giveBack == nil {
			if giveBack = m.c.To.Budget.Take(); giveBack == nil {
				break
			}
		}
		if err == nil {
			m.forget(a, done)
		}
		if !sleep(ctx, wait) {
			err = &call.Error{Reason: gone(ctx), Err: context.Cause(ctx)}
			break
		}
	}
	if err != nil {
		return nil, nil, m.explain(err)
	}
	return a, done, nil
}

// renew gets another credential after a 401, once a call.
func (m *maker) renew(ctx context.Context) bool {
	cred := m.c.To.Credential
	if cred == nil || m.renewed || !m.body.again() {
		return false
	}
	m.renewed = true
	if !cred.Renew(ctx, m.sent) {
		return false
	}
	m.c.record.Renewed = true
	return true
}

// forget lets go of an answer that the application will not see.
func (m *maker) forget(a *call.Answer, done func()) {
	_ = a.Body.Close() // nobody reads it
	done()
}

// attempt makes one.
func (m *maker) attempt(ctx context.Context) (*call.Answer, func(), error) {
	t := m.c.To
	permit, wait, ok := t.Breaker.Allow()
	if !ok {
		return nil, nil, &refusal{code: call.CircuitOpen, detail: "the target has failed too often and is given a rest", after: max(wait, time.Second)}
	}
	outcome := resilience.Nothing
	settled := false
	settle := func() {
		if !settled {
			settled = true
			permit.Done(outcome)
		}
	}
	out := m.outgoing()
	m.body.show(out)
	m.sent = out
	if t.Credential != nil {
		if err := t.Credential.Apply(ctx, out); err != nil {
			settle()
			return nil, nil, unproven(err)
		}
	}
	address, free, err := t.Endpoints.Pick(ctx, m.tried)
	if err != nil {
		outcome = resilience.Failure
		settle()
		return nil, nil, &call.Error{Reason: call.Connect, Err: err}
	}
	if !slices.Contains(m.tried, address) {
		m.tried = append(m.tried, address)
	}
	m.body.put(out)
	attempt, cancel := withPerAttempt(ctx, t.Spec.Timeouts.PerAttempt)
	a, err := t.Transport.RoundTrip(attempt, address, out, m.interim)
	outcome = judge(a, err)
	settle()
	if err != nil {
		cancel(nil)
		free(outcome)
		return nil, nil, err
	}
	return a, func() { cancel(nil); free(outcome) }, nil
}

// withPerAttempt bounds an attempt until the head of its answer.
func withPerAttempt(ctx context.Context, d time.Duration) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if d <= 0 {
		return ctx, cancel
	}
	timer := time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func(err error) { timer.Stop(); cancel(err) }
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
		out.Trailer = c.Trailer
		if c.Header.HasToken("TE", "trailers") {
			out.Header.Add("TE", "trailers")
		}
	} else if c.Length < 0 {
		out.Trailer = c.Trailer
	}
	return out
}

// judge is what an attempt says of its target.
func judge(a *call.Answer, err error) resilience.Outcome {
	switch {
	case err == nil && a.Status < 500:
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

// again reports whether another attempt is safe and wanted, and after what wait.
func (m *maker) again(ctx context.Context, a *call.Answer, err error) (time.Duration, bool) {
	t := m.c.To
	if m.attempts >= t.Spec.Retry.MaxAttempts || m.c.Upgrade != "" && m.c.websocket() || ctx.Err() != nil {
		return 0, false
	}
	what, sent, asked := "", true, time.Duration(0)
	if err != nil {
		var failed *call.Error
		if !errors.As(err, &failed) {
			return 0, false // ours: circuit open, no credential
		}
		what, sent = string(failed.Reason), failed.Sent
		if what == string(call.Garbage) {
			what = string(call.Reset)
		}
	} else {
		what, asked = strconv.Itoa(a.Status), retryAfter(a.Header.Get("Retry-After"), time.Now())
	}
	if !t.RetriesOn(what) || sent && !m.safe() || !m.body.again() {
		return 0, false
	}
	if asked > t.Spec.Retry.MaxInterval {
		return 0, false // the target asks for more patience than we have
	}
	return max(t.Backoff.Delay(m.attempts), asked), true
}

// safe reports whether the request may reach the target twice (RFC 9110,
// section 9.2.2; draft-ietf-httpapi-idempotency-key-header).
func (m *maker) safe() bool {
	switch m.c.Method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return m.c.To.Spec.Retry.Unsafe || m.c.Header.Get("Idempotency-Key") != ""
}

// retryAfter reads both forms of Retry-After: seconds, and a date.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return time.Duration(min(n, 1<<30)) * time.Second
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return max(at.Sub(now), 0)
		}
	}
	return 0
}

// sleep waits; false when the call ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func gone(ctx context.Context) call.Reason {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return call.Timeout
	}
	return call.Gone
}

func unproven(err error) error {
	var u *target.Unproven
	if errors.As(err, &u) {
		return &refusal{code: u.Code, detail: u.Error()}
	}
	return &refusal{code: call.CredentialUnavailable, detail: "the target's credential cannot be had"}
}

// explain turns the failure of the last attempt into what the application sees.
func (m *maker) explain(err error) error {
	m.c.record.Attempts = m.attempts
	var failed *call.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch failed.Reason {
	case call.Connect:
		return &refusal{code: call.ConnectFailed, detail: "the target cannot be reached: " + failed.Err.Error()}
	case call.Timeout:
		return &refusal{code: call.UpstreamTimeout, detail: "the target did not answer in time"}
	case call.Garbage:
		return &refusal{code: call.UpstreamGarbage, detail: "the target's answer is not HTTP: " + failed.Err.Error()}
	case call.Body:
		return errBody(failed.Err)
	case call.Unfit:
		return &refusal{code: call.BadRequest, detail: "the request cannot be passed on: " + failed.Err.Error()}
	case call.Gone:
		return failed
	}
	return &refusal{code: call.UpstreamReset, detail: "the connection to the target broke: " + failed.Err.Error()}
}
