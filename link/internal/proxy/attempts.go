package proxy

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
)

// perform makes the call, with retries that are safe and allowed, and streams the
// answer back.
func (p *Proxy) perform(ctx context.Context, w http1.ResponseWriter, c *Call) error {
	t := c.Target
	if c.websocket() && t.Spec.HTTP2() {
		return &refusal{code: call.UpgradeRefused, detail: "the target speaks HTTP/2, which has no upgrade"}
	}
	m := &attempts{c: c, w: w, tracer: p.Tracer}
	limit := &m.limit
	limit.begin(ctx, t)
	defer limit.stop()
	w.Bound(limit)
	defer w.Unbound() // before the limit ends with the call
	m.body.limit = limit
	if err := m.body.readSmallBody(limit, c.Request, int(t.Spec.Retry.MaxBodyBytes), t.CoversBody(c.Header)); err != nil {
		return errBody(limit, err)
	}
	defer m.body.finish() // the attempt was ended by then
	t.Budget.CallBegan()
	defer t.Budget.CallEnded()
	if c.HTTP2 && c.Header.IsGRPC() {
		// Only the service knows whether the call is a stream, and its head may come
		// with its end. The call has its own deadline (grpc-timeout).
		limit.becomeStream(t.Retired, t.Spec.Timeouts.Idle)
	}
	defer m.endSpan()
	defer m.reportOutcome()
	a, err := m.run(limit)
	if err != nil {
		return m.toRefusal(limit, err)
	}
	defer m.releaseAttempt()
	err = c.streamResponse(limit, w, a, m)
	m.failed(err)
	return err
}

// attempts makes the attempts of one call.
type attempts struct {
	c           *Call
	w           http1.ResponseWriter
	limit       callLimit // no attempt begins after it
	body        resendableBody
	renewed     bool
	tried       []string
	last        *http1.Outgoing // the last attempt
	tracer      trace.Tracer
	span        trace.Span // of the last attempt; nil: none
	resends     int        // attempts so far, for any reason
	unprocessed unprocessedCount
	// What the last attempt holds:
	address         [1]string // tried, at first
	first           http1.Outgoing
	releaseEndpoint func(resilience.Outcome) // releases the endpoint; nil: none held
	permit          resilience.Permit
	outcome         resilience.Outcome
	path            uint64      // the path that the outcome concerns; 0: the whole target
	end             func(error) // ends the attempt's own context; nil: it has none
	limitMark       waitMark    // when its own limit began
	timedOut        bool        // its own limit has expired
	// The outcome of the call, after an attempt with an outcome:
	callOutcome resilience.Outcome
	callPath    uint64 // the path
	hasOutcome  bool
}

// interim passes a 1xx answer on. The answer shows that the application is gone.
func (m *attempts) interim(status int, h http1.Header) {
	h.Del(call.ErrorField)
	_ = m.w.Inform(status, h)
}

// releaseAttempt releases what the last attempt holds, once its answer was read, and
// records its outcome.
func (m *attempts) releaseAttempt() {
	if m.end != nil {
		m.end(context.Canceled)
		m.end = nil
	}
	switch {
	case m.c.responseBroke:
		m.outcome = resilience.Failure
	case m.c.callerCut:
		m.outcome = resilience.Inconclusive
	}
	m.noteOutcome()
	if free := m.releaseEndpoint; free != nil {
		m.releaseEndpoint = nil
		free(m.outcome)
	}
}

// noteOutcome makes the outcome of the last attempt that of the call, unless it is
// inconclusive or an earlier attempt succeeded. A trial of the breaker is one
// attempt, so its outcome is reported at once.
func (m *attempts) noteOutcome() {
	if m.permit.Trial() {
		m.permit.DoneAt(m.outcome, m.path)
		m.permit = resilience.Permit{}
		return
	}
	if m.outcome != resilience.Inconclusive && (!m.hasOutcome || m.callOutcome == resilience.Failure) {
		m.callOutcome, m.callPath, m.hasOutcome = m.outcome, m.path, true
	}
}

// reportOutcome reports the outcome of the call to the breaker, once a call: counted
// by attempts, one call would be three failures.
func (m *attempts) reportOutcome() {
	if !m.hasOutcome {
		m.callOutcome = resilience.Inconclusive
	}
	m.permit.DoneAt(m.callOutcome, m.callPath)
	m.permit = resilience.Permit{}
}

// reportEarly reports the outcome before the answer was read: a failure, or a stream
// that may last for hours.
func (m *attempts) reportEarly() {
	m.noteOutcome()
	m.reportOutcome()
}

// run makes attempts until one has an answer for the application, or none will.
// releaseAttempt releases what the last one holds.
func (m *attempts) run(ctx context.Context) (a *http1.Answer, err error) {
	giveBack := func() {} // of the retry budget
	defer func() { giveBack() }()
	for {
		a, err = m.attempt(ctx)
		if err == nil && httpStatus(a) == 401 && m.renewCredential(ctx, a) {
			m.c.record.Attempts-- // with another credential; this one does not count
			continue
		}
		if err != nil && m.resendAtOnce(ctx, err) {
			continue
		}
		wait, again := m.shouldRetry(ctx, a, err)
		if !again {
			m.reportIfDecided(a)
			return a, err
		}
		giveBack()
		if giveBack = m.c.Target.Budget.TryRetry(); giveBack == nil {
			giveBack = func() {}
			m.reportIfDecided(a)
			return a, err
		}
		if !m.body.detachAttempt() {
			m.reportIfDecided(a)
			return a, err // meanwhile more of the body was read than is kept
		}
		if err == nil {
			m.discardResponse(a)
		}
		if !sleep(ctx, wait) {
			return nil, &http1.Error{Reason: reasonOf(ctx, http1.ReasonGone), Err: context.Cause(ctx)}
		}
	}
}

// reportIfDecided reports the outcome of an answer that need not be read to know it:
// a failure, or a stream. A gRPC call may fail in its trailer, so it succeeds once a
// message came.
func (m *attempts) reportIfDecided(a *http1.Answer) {
	if a != nil && (m.outcome == resilience.Failure || a.Upgraded != nil || a.Header.IsEventStream()) {
		m.reportEarly()
	}
}

// renewWait is how long a 401 waits for another credential even if the call has less
// time left. The renewal itself goes on beyond that.
const renewWait = time.Second

// renewCredential gets another credential after a 401, once a call, and discards the
// 401 if the call can be made again. If its body is not kept the application gets the
// 401, and later calls the new credential. It waits at most for half of the call's
// remaining time: the rest is for the next attempt, or for the 401.
func (m *attempts) renewCredential(ctx context.Context, a *http1.Answer) bool {
	cred := m.c.Target.Credential
	if cred == nil || m.renewed {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, max(m.limit.remaining()/2, renewWait))
	defer cancel()
	m.renewed = true
	keep := false
	defer func() {
		if !keep {
			m.discardResponse(a)
		}
	}()
	m.c.record.Renewed = cred.Renew(ctx, m.last)
	keep = !m.c.record.Renewed || !m.body.detachAttempt()
	return !keep
}

// discardResponse closes an answer that the application will not see.
func (m *attempts) discardResponse(a *http1.Answer) {
	_ = a.Body.Close() // nobody reads it
	m.releaseAttempt()
	m.endSpan()
}

// toRefusal is the failure of the last attempt as the application sees it.
func (m *attempts) toRefusal(ctx context.Context, err error) error {
	var failed *http1.Error
	if !errors.As(err, &failed) {
		return err
	}
	why := failed.Reason
	if why == http1.ReasonConnect {
		why = reasonOf(ctx, why) // the call's own limit ended it
	}
	switch why {
	case http1.ReasonConnect:
		return &refusal{code: call.ConnectFailed, detail: "the target cannot be reached: " + failed.Err.Error()}
	case http1.ReasonTimeout:
		return &refusal{code: call.UpstreamTimeout, detail: "the target did not answer in time"}
	case http1.ReasonGarbage:
		return &refusal{code: call.UpstreamGarbage, detail: "the target's answer cannot be forwarded: " + failed.Err.Error()}
	case http1.ReasonBody:
		return errBody(ctx, failed.Err)
	case http1.ReasonUnfit:
		return &refusal{code: call.BadRequest, detail: "the request cannot be forwarded: " + failed.Err.Error()}
	case http1.ReasonGone:
		return failed
	}
	return &refusal{code: call.UpstreamReset, detail: "the connection to the target broke: " + failed.Err.Error()}
}
