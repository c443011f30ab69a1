package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/deadletter"
	"github.com/lsm/fiso/flow/fault"
)

// attempt does for an event what is next: make it, send it, or store its dead
// letter. It runs without the lock.
func (e *Engine) attempt(it *item) outcome {
	now := time.Now()
	if it.lane.shard.ctx.Err() != nil {
		return e.settle(it, Interrupted, now) // not begun
	}
	if it.letter != nil {
		return e.store(it)
	}
	if err := it.failed; err != nil {
		it.failed = nil
		return e.storeNow(it, e.misprocessed(it, err))
	}
	if it.event == nil {
		begun := now
		ev, err := e.process(e.context(it.call, it), it.stage, it.m)
		now = time.Now()
		it.stage.cost.add(now.Sub(begun), 1)
		e.cfg.Observer.Took(PhaseTransform, now.Sub(begun), 1)
		if err == nil && ev == nil {
			return e.settle(it, Filtered, now)
		}
		if it.span == nil {
			it.span = e.startSpan(it.m, ev, begun)
		}
		if err != nil {
			return e.storeNow(it, e.misprocessed(it, err))
		}
		it.event = ev
		if it.lane.shard.ctx.Err() != nil {
			return e.settle(it, Interrupted, now) // not sent
		}
	}
	if it.stage.batch != nil && !it.single {
		return outcome{kind: join}
	}
	ctx, span := e.startSend(it.call, it)
	err := e.send(ctx, it)
	endSend(span, err)
	sent := time.Now()
	e.cfg.Observer.Took(PhaseSink, sent.Sub(now), 1)
	return e.storeNow(it, e.verdict(it.call, it, err, sent))
}

// storeNow goes on with the dead letter that an outcome calls for.
func (e *Engine) storeNow(it *item, out outcome) outcome {
	if out.kind == store {
		return e.store(it)
	}
	return out
}

// void reports whether a call's error says nothing of the event, because the
// call was cut short by us or its stage is no longer the flow's: the event is
// then done again, or handed back when its assignment ended, and is neither
// failed nor done (https://github.com/dapr/components-contrib/issues/3849).
func (e *Engine) void(ctx context.Context, it *item) bool {
	return ctx.Err() != nil || e.stage.Load() != it.stage
}

// misprocessed is what follows when no event could be made.
func (e *Engine) misprocessed(it *item, err error) outcome {
	code := fault.CodeOf(err)
	switch {
	case e.void(it.call, it):
		return outcome{kind: again}
	case code == "" && connector.ClassOf(err) == connector.Unavailable:
		return e.pause(it, "the transform waits for what it needs: "+err.Error(), err)
	case code == "":
		code = fault.TransformFailed
	}
	e.cfg.Observer.TransformError(code)
	return e.giveUp(it, code, err)
}

// verdict is what follows after a call of the sink.
func (e *Engine) verdict(ctx context.Context, it *item, err error, now time.Time) outcome {
	if err == nil {
		return e.settle(it, Delivered, now)
	}
	if e.void(ctx, it) {
		return outcome{kind: again}
	}
	if _, ok := errors.AsType[*cloudevent.EncodeError](err); ok {
		return e.misprocessed(it, fault.New(fault.DecodeFailed, err)) // nothing was sent: the event itself is at fault
	}
	class := connector.ClassOf(err)
	if class == connector.Interrupted {
		class = connector.Temporary // by somebody else: our call goes on
	}
	e.cfg.Observer.SinkError(class)
	switch {
	case class == connector.Permanent && fault.CodeOf(err) != "":
		return e.giveUp(it, fault.CodeOf(err), err) // an expression of the sink failed on this event: nothing was sent
	case class == connector.Permanent:
		return e.giveUp(it, fault.SinkRejected, err)
	case class == connector.Unavailable:
		return e.pause(it, "the sink is unavailable: "+err.Error(), err)
	case it.retries < it.stage.MaxRetries:
		it.retries++
		return e.pause(it, "", err)
	default:
		return e.giveUp(it, fault.SinkDeliveryFailed, err)
	}
}

// giveUp is what follows when an event has failed for good.
func (e *Engine) giveUp(it *item, code fault.Code, err error) outcome {
	if it.stage.OnExhausted == ExhaustedBlock {
		return e.pause(it, fmt.Sprintf("%s, and the flow blocks on failures: %v", code, err), err)
	}
	switch e.permit(it, code, err) {
	case probing:
		return e.pause(it, "the line is stopped, this event is the probe: "+err.Error(), err)
	case halted:
		return outcome{kind: wait, err: err}
	}
	if it.stage.OnExhausted == ExhaustedDrop {
		e.logGivenUp(it, "Dropped an event", code, err)
		out := e.settle(it, Dropped, time.Now())
		out.err = err
		return out
	}
	it.letter = &deadletter.Letter{
		Message: it.m, Code: code, Reason: err.Error(), Retries: it.retries,
		FailedAt: time.Now(), Flow: e.cfg.Flow, Sink: it.stage.SinkName,
	}
	return outcome{kind: store, err: err}
}

// store writes the dead letter, and settles only when it is stored. Until then
// the event is held, whatever it takes
// (https://github.com/confluentinc/kafka-connect-jdbc/issues/1597).
func (e *Engine) store(it *item) outcome {
	err := e.write(it)
	if stands := errors.Is(err, deadletter.ErrStands); err == nil || stands {
		e.cfg.Observer.DeadLetter(it.letter.Code)
		cause, msg := fmt.Errorf("%s: %s", it.letter.Code, it.letter.Reason), "Stored a dead letter"
		if stands {
			cause, msg = fmt.Errorf("%w: %w", err, cause), "Left a dead letter where it stands"
		}
		e.logGivenUp(it, msg, it.letter.Code, cause)
		out := e.settle(it, DeadLettered, time.Now())
		out.err = cause
		return out
	}
	if e.void(it.call, it) {
		return outcome{kind: again}
	}
	e.cfg.Observer.DeadLetterError()
	return e.pause(it, "the dead letter cannot be stored: "+err.Error(), err)
}

// Bounds of a pause: a policy of no delay must not become a busy loop, and a
// server's Retry-After must not hold a key for days: LongestAsked of it counts.
const (
	shortestRetry = time.Millisecond
	shortestHold  = 50 * time.Millisecond
	LongestAsked  = time.Hour
)

// pause is a wait before the next try; held for a reason, or a counted retry.
func (e *Engine) pause(it *item, held string, err error) outcome {
	it.pauses++
	least := shortestRetry
	if held != "" {
		least = shortestHold
	}
	asked := connector.RetryAfter(err)
	delay := max(it.stage.Retry.Delay(it.pauses), min(asked, LongestAsked), least)
	e.cfg.Observer.Retry()
	e.logRetry(it, delay, err)
	if asked <= it.stage.Retry.Max {
		asked = 0 // no longer than the flow's owner expects
	} else {
		e.logAsked(it, asked, delay, err)
	}
	return outcome{kind: pause, delay: delay, held: held, asked: asked, err: err}
}

// The calls out of the engine. A panic in one is an error of the event it was
// called for, and ends nothing else.

func (e *Engine) process(ctx context.Context, st *stage, m *connector.Message) (ev *cloudevent.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.TransformFailed, e.panicked(ctx, m, "transform", r))
		}
	}()
	return st.Processor.Process(ctx, m)
}

func (e *Engine) send(ctx context.Context, it *item) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = e.panicked(e.context(it.call, it), it.m, "sink", r)
		}
	}()
	return it.stage.Sink.Send(ctx, it.event)
}

// storePatience is how long a dead letter queue may keep a worker waiting. The
// event is then held, which a person can see, and written again; what is under
// way is not cancelled by it (see deadletter.Writer).
const storePatience = 10 * time.Second

var errNoDeadLetter = errors.New("the flow names no dead letter place")

func (e *Engine) write(it *item) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = e.panicked(e.context(it.call, it), it.m, "dead letter writer", r)
		}
	}()
	if it.stage.DeadLetter == nil {
		return errNoDeadLetter
	}
	ctx, cancel := context.WithTimeout(it.call, storePatience)
	defer cancel()
	return it.stage.DeadLetter.Write(ctx, it.letter)
}
