package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// attempt does the next piece of work of a task: it transforms its message,
// sends its event, stores its dead letter or calls for its receipt. It runs
// without the lock. The result of a transform is appended to into.
func (e *Engine) attempt(t *task, into []Routed) (outcome, []Routed) {
	switch {
	case t.entry.in.over():
		return outcome{kind: notBegun}, into
	case t.receipt:
		return e.endDelivery(t, time.Now()), into
	case t.letter != nil:
		return e.store(t), into
	case t.err != nil:
		return e.storeNow(t, e.giveUp(t, codeOf(t.err), t.err, false)), into
	case t.step.out != nil:
		return e.storeNow(t, e.send(t)), into
	}
	return e.attemptTransform(t, into)
}

// storeNow stores the dead letter at once if that is the outcome.
func (e *Engine) storeNow(t *task, out outcome) outcome {
	if out.kind == store {
		return e.store(t)
	}
	return out
}

func (e *Engine) attemptTransform(t *task, into []Routed) (outcome, []Routed) {
	en, v := t.entry, t.step.version
	begun := time.Now()
	into, err := e.transform(t.context(t.call), v, en.m, into)
	now := time.Now()
	v.transformTime.add(now.Sub(begun), 1)
	e.cfg.Observer.Timed(PhaseTransform, now.Sub(begun), 1)
	switch {
	case errors.Is(err, ErrUnrouted):
		e.endTask(t, Unrouted, now)
		return outcome{kind: done}, into
	case err == nil && len(into) == 0:
		e.endTask(t, Filtered, now)
		return outcome{kind: done}, into
	}
	if en.span == nil {
		en.span = e.startSpan(en.m, into, begun)
	}
	switch {
	case err == nil:
	case e.wasAbandoned(t.call, t):
		return outcome{kind: again}, into
	case isTransformHold(err):
		return e.pause(t, &hold{CauseTransform, "the transform waits for what it needs", err}, err), into
	default:
		e.cfg.Observer.TransformError(codeOf(err))
		if t.step.OnExhausted == ExhaustedBlock {
			return e.giveUp(t, codeOf(err), err, false), into
		}
		return outcome{kind: transformed, err: err}, into
	}
	into = slices.DeleteFunc(into, func(r Routed) bool {
		return slices.Contains(en.achieved, doneDelivery{v.outputs[r.Output].out.Name, r.Part})
	})
	if len(into) == 0 { // an older version delivered everything
		e.endTask(t, Delivered, now)
		return outcome{kind: done}, into
	}
	return outcome{kind: transformed}, into
}

// wasAbandoned reports whether a call's error says nothing about the event, because
// the engine cancelled the call or the version was replaced. The task is then
// done again, or handed back if its assignment ended
// (https://github.com/dapr/components-contrib/issues/3849).
func (e *Engine) wasAbandoned(ctx context.Context, t *task) bool {
	return ctx.Err() != nil || e.version.Load() != t.step.version
}

// isTransformHold reports whether an error of the transform says nothing about
// the message.
func isTransformHold(err error) bool {
	class := connector.ClassOf(err)
	return fault.CodeOf(err) == "" && (class == connector.Unavailable || class == connector.Blocked)
}

// codeOf returns the code of an error of the transform.
func codeOf(err error) fault.Code {
	if code := fault.CodeOf(err); code != "" {
		return code
	}
	return fault.TransformFailed
}

// send delivers one event.
func (e *Engine) send(t *task) outcome {
	begun := time.Now()
	ctx, span := e.startSend(t.call, t)
	err := e.callSink(ctx, t)
	endSend(span, err)
	now := time.Now()
	e.cfg.Observer.Timed(PhaseSink, now.Sub(begun), 1)
	return e.afterSend(t.call, t, err, now, false)
}

// afterSend decides the outcome of a call of the sink. known is true if the gate
// knows the call already, by the result of another event of the batch.
func (e *Engine) afterSend(ctx context.Context, t *task, err error, now time.Time, known bool) outcome {
	if err == nil {
		return e.endDelivery(t, now)
	}
	if e.wasAbandoned(ctx, t) {
		return outcome{kind: again}
	}
	if connector.IsUnsendable(err) {
		return e.giveUpUnsent(t, err)
	}
	if errors.Is(err, connector.ErrInterrupted) {
		return e.postpone(t, err)
	}
	class := connector.ClassOf(err)
	if class == connector.Interrupted {
		class = connector.Temporary // not by the engine: the context of the call has not ended
	}
	e.cfg.Observer.SinkError(t.step.out.Name, class)
	counts := e.noteFailure(t, class, err, known)
	switch {
	case class == connector.Permanent:
		return e.giveUp(t, fault.SinkRejected, err, true)
	case !counts:
		return e.pause(t, &hold{CauseUnavailable, "the sink is unavailable", err}, err)
	case t.retries < t.step.MaxRetries:
		t.retries++
		return e.pause(t, nil, err)
	default:
		return e.giveUp(t, fault.SinkDeliveryFailed, err, true)
	}
}

// giveUpUnsent gives up an event that the sink cannot send. The destination was not
// asked, so the gate is not told.
func (e *Engine) giveUpUnsent(t *task, err error) outcome {
	if _, ok := errors.AsType[*cloudevent.EncodeError](err); ok { // the event itself is invalid
		e.cfg.Observer.TransformError(fault.DecodeFailed)
		return e.giveUp(t, fault.DecodeFailed, err, false)
	}
	e.cfg.Observer.SinkError(t.step.out.Name, connector.Permanent)
	return e.giveUp(t, cmp.Or(fault.CodeOf(err), fault.SinkRejected), err, false)
}

// A destination may be overloaded if so many calls in a row have no answer: a quarter
// of those under way when the gate closed, and at least twelve. Fewer may be due to one
// replica in ten that is unavailable: of calls that begin together, those that fail are
// the first to end. Or so many probes fail that it cannot be one replica in ten, while
// the calls under way hang.
const (
	overloadPart   = 4
	overloadLeast  = 12
	overloadProbes = 6
)

// sinkBug is the error of a sink that panicked or broke its contract. It counts as a
// retry of the event and is no answer of the destination.
type sinkBug struct{ error }

// noteFailure reports a failure to the gate, and returns whether it counts as a
// retry of the event.
func (e *Engine) noteFailure(t *task, class connector.Class, err error, known bool) (counts bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := t.step
	before := s.gate.state
	switch class {
	case connector.Unavailable, connector.Blocked:
		counts = s.gate.taskFailed(t, err, known) && class == connector.Unavailable
	default:
		counts = true
		if _, ok := errors.AsType[sinkBug](err); ok {
			break
		}
		s.gate.destinationAnswered(t)
		e.moveGate(s)
		e.wakeWorkers()
	}
	if s.gate.state != before {
		s.callsBefore = s.calls
		e.logGate(s)
	}
	many := s.gate.unanswered >= max(overloadLeast, s.callsBefore/overloadPart) || s.gate.failedProbes >= overloadProbes
	if s.gate.state == gateAway && s.callsBefore > 0 && many {
		s.concurrency.Overloaded(time.Now(), s.callsBefore)
		s.callsBefore = 0
	}
	return counts
}

// giveUp decides the outcome of an event that has failed for good. verdict is
// true if the destination refused the event, and false if the failure says
// nothing about the destination.
func (e *Engine) giveUp(t *task, code fault.Code, err error, verdict bool) outcome {
	if t.handling().OnExhausted == ExhaustedBlock {
		return e.pause(t, &hold{CauseBlocked, string(code) + ", and the flow blocks on failures", err}, err)
	}
	if verdict {
		switch e.askToGiveUp(t, err) {
		case probeAgain:
			return e.pause(t, &hold{CauseStopped, "the line is stopped, this event is the probe", err}, err)
		case waitForGate:
			return outcome{kind: wait, err: err}
		}
	}
	if t.handling().OnExhausted == ExhaustedDrop {
		e.logGivenUp(t, "event dropped", code, err)
		e.endTask(t, Dropped, time.Now())
		return outcome{kind: done, err: err}
	}
	t.letter = &deadletter.Letter{
		Message: t.entry.m, Code: code, Reason: err.Error(), Retries: t.retries,
		FailedAt: time.Now(), Flow: e.cfg.Name, Sink: t.sink(), Part: t.part,
	}
	return outcome{kind: store, err: err}
}

// askToGiveUp asks the gate whether an event may be given up because of the sink.
func (e *Engine) askToGiveUp(t *task, err error) giveUpAnswer {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := t.step
	before := s.gate.state
	p := s.gate.giveUp(t, err)
	if s.gate.state != before {
		e.logGate(s)
	}
	return p
}

// store writes the dead letter. The task is done only once the letter is
// stored; until then the event is held and the write is repeated
// (https://github.com/confluentinc/kafka-connect-jdbc/issues/1597).
func (e *Engine) store(t *task) outcome {
	err := e.callWriter(t)
	alreadyStored := errors.Is(err, deadletter.ErrAlreadyStored)
	switch {
	case err == nil || alreadyStored:
	case e.wasAbandoned(t.call, t):
		return outcome{kind: again}
	default:
		e.cfg.Observer.DeadLetterError()
		return e.pause(t, &hold{CauseDeadLetter, "the dead letter cannot be stored", err}, err)
	}
	e.cfg.Observer.DeadLetter(t.letter.Code)
	cause, msg := fmt.Errorf("%s: %s", t.letter.Code, t.letter.Reason), "dead letter stored"
	if alreadyStored {
		cause, msg = fmt.Errorf("%w: %w", err, cause), "dead letter already stored"
	}
	e.logGivenUp(t, msg, t.letter.Code, cause)
	out := e.endDelivery(t, time.Now())
	if out.err == nil {
		out.err = cause
	}
	return out
}

// endDelivery ends a task whose event was delivered or has its dead letter stored.
// If the output has receipts, the receipt comes first.
func (e *Engine) endDelivery(t *task, now time.Time) outcome {
	if t.err == nil && t.step.out.Receipt != nil {
		t.receipt = true
		switch err := e.callReceipt(t); {
		case err == nil:
		case e.wasAbandoned(t.call, t):
			return outcome{kind: again}
		default:
			return e.pause(t, &hold{CauseReceipt, "the receipt cannot be written", err}, err)
		}
	}
	if t.letter != nil {
		e.endTask(t, DeadLettered, now)
		return outcome{kind: done}
	}
	e.endTask(t, Delivered, now)
	return outcome{kind: delivered}
}

// Bounds of a pause. A retry policy without delay must not become a busy loop,
// and a server's Retry-After must not block a key for days: at most
// MaxRetryAfter of it is used.
const (
	minRetryPause = time.Millisecond
	minHoldPause  = 50 * time.Millisecond
	MaxRetryAfter = time.Hour
)

// pause is a wait before the next try. The event is held if h is not nil;
// otherwise the try is a counted retry.
func (e *Engine) pause(t *task, h *hold, err error) outcome {
	t.pauses++
	least := minRetryPause
	if h != nil {
		least = minHoldPause
	}
	asked := connector.RetryAfter(err)
	delay := max(t.handling().Retry.Delay(t.pauses), min(asked, MaxRetryAfter), least)
	e.cfg.Observer.Retry()
	e.logRetry(t, delay, err)
	if asked <= t.handling().Retry.Max {
		asked = 0 // the retry policy has pauses of that length
	} else {
		e.logAsked(t, asked, delay, err)
	}
	return outcome{kind: pause, delay: delay, held: h, asked: asked, err: err}
}

// postpone is the wait of an event that the sink did not try: as long as the
// sink asks for, without backoff; or as before a retry, if the sink does not
// ask.
func (e *Engine) postpone(t *task, err error) outcome {
	asked := connector.RetryAfter(err)
	if asked <= 0 {
		return e.pause(t, nil, err)
	}
	return outcome{kind: pause, delay: min(max(asked, minRetryPause), MaxRetryAfter), err: err}
}

// The calls out of the engine. A panic in one is an error of its event and
// affects nothing else.

func (e *Engine) transform(ctx context.Context, v *version, m *connector.Message, into []Routed) (routed []Routed, err error) {
	n := len(into)
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.TransformFailed, e.panicked(ctx, m, "transform", r))
		}
		if err != nil {
			routed = into[:n]
		}
	}()
	return v.transformer.Transform(ctx, m, into)
}

func (e *Engine) callSink(ctx context.Context, t *task) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = sinkBug{e.panicked(t.context(t.call), t.entry.m, "sink", r)}
		}
	}()
	return t.step.out.Sink.Send(t.attached(ctx), t.event)
}

var errNoDeadLetter = errors.New("no dead letter destination is configured")

func (e *Engine) callWriter(t *task) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = e.panicked(t.context(t.call), t.entry.m, "dead letter writer", r)
		}
	}()
	if t.handling().DeadLetter == nil {
		return errNoDeadLetter
	}
	ctx, cancel := context.WithTimeout(t.call, e.cfg.StorePatience)
	defer cancel()
	return t.handling().DeadLetter.Write(ctx, t.letter)
}

func (e *Engine) callReceipt(t *task) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = e.panicked(t.context(t.call), t.entry.m, "receipt", r)
		}
	}()
	ctx, cancel := context.WithTimeout(t.attached(t.call), e.cfg.StorePatience)
	defer cancel()
	return t.step.out.Receipt(ctx, t.event, t.letter)
}
