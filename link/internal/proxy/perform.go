package proxy

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
)

// perform makes the call, as often as is safe and useful, and streams the
// answer back.
func (p *Proxy) perform(ctx context.Context, w call.ResponseWriter, c *Call) error {
	t := c.To
	if c.websocket() && t.Spec.HTTP2() {
		return &refusal{code: call.UpgradeRefused, detail: "the target speaks HTTP/2, which has no upgrade"}
	}
	m := &maker{c: c, w: w, tracer: p.Tracer}
	limit := &m.limit
	limit.begin(ctx, t)
	defer limit.stop()
	w.Bound(limit)
	defer w.Unbound() // before the limit ends with the call
	m.body.limit = limit
	if err := m.body.begin(limit, c.Request, int(t.Spec.Retry.MaxBodyBytes), t.CoversBody(c.Header)); err != nil {
		return errBody(limit, err)
	}
	defer m.body.finish() // the attempt was ended by then
	t.Budget.CallBegan()
	defer t.Budget.CallEnded()
	if c.HTTP2 && c.Header.IsGRPC() {
		// Whether it is a stream only its service knows, and its head may come
		// with its end. It has a deadline of its own (grpc-timeout).
		limit.stream(t.Ended, t.Spec.Timeouts.Idle)
	}
	defer m.endSpan()
	defer m.verdict()
	a, err := m.make(limit)
	if err != nil {
		return m.explain(limit, err)
	}
	defer m.done()
	err = c.back(limit, w, a, m)
	m.failed(err)
	return err
}

// maker makes the attempts of one call.
type maker struct {
	c       *Call
	w       call.ResponseWriter
	limit   limit // no attempt begins after it
	body    replay
	renewed bool
	tried   []string
	sent    *call.Outgoing // the last attempt
	tracer  trace.Tracer
	span    trace.Span // of the last attempt; nil: none
	resends int        // attempts so far, whatever for
	untook  untook
	// What the last attempt holds:
	address [1]string // tried, at first
	first   call.Outgoing
	free    func(resilience.Outcome) // of the endpoint; nil: nothing
	permit  resilience.Permit
	outcome resilience.Outcome
	path    uint64      // that it may be true of alone; 0: it is true of the target
	end     func(error) // of the context of its own; nil: it has none
	begun   mark        // where it has a limit of its own
	late    bool        // that has passed
	// What the call says of the target, once an attempt has said something:
	said   resilience.Outcome
	saidOf uint64 // the path
	spoken bool
}

// interim passes a 1xx answer on. The answer shows that the application is gone.
func (m *maker) interim(status int, h call.Header) {
	h.Del(call.ErrorField)
	_ = m.w.Inform(status, h)
}

// done gives back what the last attempt holds, once its answer was read, and
// notes what it said of the target.
func (m *maker) done() {
	if m.end != nil {
		m.end(context.Canceled)
		m.end = nil
	}
	switch {
	case m.c.broke:
		m.outcome = resilience.Failure
	case m.c.cut:
		m.outcome = resilience.Inconclusive
	}
	m.note()
	if free := m.free; free != nil {
		m.free = nil
		free(m.outcome)
	}
}

// note takes what the last attempt said of the target for what the call says,
// unless that says nothing, or an attempt before it succeeded. A trial of the
// breaker is one attempt, and its verdict is given at once: a call of several
// would be several trials.
func (m *maker) note() {
	if m.permit.Trial() {
		m.permit.DoneAt(m.outcome, m.path)
		m.permit = resilience.Permit{}
		return
	}
	if m.outcome != resilience.Inconclusive && (!m.spoken || m.said == resilience.Failure) {
		m.said, m.saidOf, m.spoken = m.outcome, m.path, true
	}
}

// verdict tells the breaker what the call says of the target, once a call:
// attempts are not what is counted, or one call would be three failures.
func (m *maker) verdict() {
	if !m.spoken {
		m.said = resilience.Inconclusive
	}
	m.permit.DoneAt(m.said, m.saidOf)
	m.permit = resilience.Permit{}
}

// established says that the last attempt's answer is a stream that has begun, or a
// failure: what comes of it later changes nothing, and may take hours.
func (m *maker) established() {
	m.note()
	m.verdict()
}

// make makes attempts until one has an answer for the application, or none will.
// What the last one holds is given back by done.
func (m *maker) make(ctx context.Context) (a *call.Answer, err error) {
	giveBack := func() {} // of the retry budget
	defer func() { giveBack() }()
	for {
		a, err = m.attempt(ctx)
		if err == nil && httpStatus(a) == 401 && m.renew(ctx, a) {
			m.c.record.Attempts-- // with another credential; this one does not count
			continue
		}
		if err != nil && m.untaken(ctx, err) {
			continue
		}
		wait, again := m.again(ctx, a, err)
		if !again {
			m.decided(a)
			return a, err
		}
		giveBack()
		if giveBack = m.c.To.Budget.TryRetry(); giveBack == nil {
			giveBack = func() {}
			m.decided(a)
			return a, err
		}
		if !m.body.retire() {
			m.decided(a)
			return a, err // meanwhile more of it was read than is kept
		}
		if err == nil {
			m.forget(a)
		}
		if !sleep(ctx, wait) {
			return nil, &call.Error{Reason: reason(ctx, call.Gone), Err: context.Cause(ctx)}
		}
	}
}

// decided gives the verdict of an answer that goes to the application where it
// need not be read for that: of a failure, and of a stream. A call of gRPC may
// fail in its trailer, so it is a success once a message came.
func (m *maker) decided(a *call.Answer) {
	if a != nil && (m.outcome == resilience.Failure || a.Upgraded != nil || a.Header.IsEventStream()) {
		m.established()
	}
}

// renewWait is how long an answer of 401 is held back for another credential,
// where the call itself has less time left. A renewal goes on without it.
const renewWait = time.Second

// renew gets another credential after a 401, once a call, and lets go of that
// answer if the call can be made again with it. Where the body is not kept the
// application gets the 401, and the calls after this one the other credential.
// At most half of what is left of the call's time is waited: the rest is for
// the other attempt, or for the answer of 401.
func (m *maker) renew(ctx context.Context, a *call.Answer) bool {
	cred := m.c.To.Credential
	if cred == nil || m.renewed {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, max(m.limit.left()/2, renewWait))
	defer cancel()
	m.renewed = true
	keep := false
	defer func() {
		if !keep {
			m.forget(a)
		}
	}()
	m.c.record.Renewed = cred.Renew(ctx, m.sent)
	keep = !m.c.record.Renewed || !m.body.retire()
	return !keep
}

// forget lets go of an answer that the application will not see.
func (m *maker) forget(a *call.Answer) {
	_ = a.Body.Close() // nobody reads it
	m.done()
	m.endSpan()
}

// explain turns the failure of the last attempt into what the application sees.
func (m *maker) explain(ctx context.Context, err error) error {
	var failed *call.Error
	if !errors.As(err, &failed) {
		return err
	}
	why := failed.Reason
	if why == call.Connect {
		why = reason(ctx, why) // the call's own limit has cut it
	}
	switch why {
	case call.Connect:
		return &refusal{code: call.ConnectFailed, detail: "the target cannot be reached: " + failed.Err.Error()}
	case call.Timeout:
		return &refusal{code: call.UpstreamTimeout, detail: "the target did not answer in time"}
	case call.Garbage:
		return &refusal{code: call.UpstreamGarbage, detail: "the target's answer cannot be passed on: " + failed.Err.Error()}
	case call.Body:
		return errBody(ctx, failed.Err)
	case call.Unfit:
		return &refusal{code: call.BadRequest, detail: "the request cannot be passed on: " + failed.Err.Error()}
	case call.Gone:
		return failed
	}
	return &refusal{code: call.UpstreamReset, detail: "the connection to the target broke: " + failed.Err.Error()}
}
