package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// batch is events that are sent together. They are the heads of lanes of one
// output, so two events of a key are never under way together, in one batch or
// in two. A batch collects (step.collecting), is sealed (step.sealed) and is
// sent (Engine.sending).
type batch struct {
	step  *step
	tasks []*task
	bytes int64
	due   time.Time
	// moreWaiting: an event waits in its lane behind one of these.
	moreWaiting bool

	// Of the call that sends it; set when a worker takes it.
	ctx    context.Context
	cancel context.CancelFunc
}

// addToBatch adds a lane's head to the collecting batch, and seals the batch if
// it is full. The caller holds the lock.
func (e *Engine) addToBatch(l *lane) {
	s, t := l.step, l.head
	size := int64(t.event.Data.Len())
	if s.collecting != nil && s.collecting.bytes+size > s.batch.MaxBytes {
		e.sealBatch(s)
	}
	if s.collecting == nil {
		s.collecting = &batch{step: s, due: time.Now().Add(s.batch.MaxWait), tasks: make([]*task, 0, s.batch.MaxEvents)}
		e.remindClock(s.collecting.due)
	}
	b := s.collecting
	l.state = laneJoined
	b.tasks = append(b.tasks, t)
	b.bytes += size
	b.moreWaiting = b.moreWaiting || t.next != nil
	if len(b.tasks) >= s.batch.MaxEvents || b.bytes >= s.batch.MaxBytes {
		e.sealBatch(s)
	}
}

// sealIdle seals the batches that would wait in vain: all work of their output
// is in them, no message is being transformed, and they are eager, or the
// source waits for room, or an event waits behind one of theirs. Otherwise a
// flow with a single key, or one that keeps the order of partitions, would wait
// MaxWait for each event. It reports whether it sealed any.
func (e *Engine) sealIdle() (sealed bool) {
	v := e.version.Load()
	if e.transforming > 0 || v.transform.ready.n > 0 || v.transform.working > 0 {
		return false
	}
	for i := range v.outputs {
		s := &v.outputs[i]
		b := s.collecting
		if b == nil || s.ready.n+s.keptReady.n > 0 || s.working != len(b.tasks) {
			continue
		}
		if s.batch.Eager || b.moreWaiting || len(e.blocked) > 0 {
			e.sealBatch(s)
			sealed = true
		}
	}
	return sealed
}

// sealBatch ends the collecting batch and queues it for the next worker.
func (e *Engine) sealBatch(s *step) {
	b := s.collecting
	s.collecting = nil
	for _, t := range b.tasks {
		t.lane.state = laneWorking
		t.entry.calls++
	}
	s.sealed = append(s.sealed, b)
	e.newlyReady++
}

// takeBatch takes a sealed batch for a worker.
func (e *Engine) takeBatch(s *step) *batch {
	b := s.sealed[0]
	s.sealed = append(s.sealed[:0], s.sealed[1:]...)
	e.sending[b] = struct{}{}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(b.tasks[0].call))
	return b
}

// dropFromBatches removes the lanes for which gone is true from the batches of a step
// that no worker has taken.
func (e *Engine) dropFromBatches(s *step, gone func(*lane) bool) {
	if b := s.collecting; b != nil {
		if e.dropFromBatch(b, gone); len(b.tasks) == 0 {
			s.collecting = nil
		}
	}
	s.sealed = slices.DeleteFunc(s.sealed, func(b *batch) bool {
		for _, t := range e.dropFromBatch(b, gone) {
			t.entry.calls--
		}
		return len(b.tasks) == 0
	})
}

// dropFromBatch removes the lanes for which gone is true from a batch, and returns
// their tasks.
func (e *Engine) dropFromBatch(b *batch, gone func(*lane) bool) (dropped []*task) {
	left := b.tasks[:0]
	for _, t := range b.tasks {
		if !gone(t.lane) {
			left = append(left, t)
			continue
		}
		dropped = append(dropped, t)
		b.bytes -= int64(t.event.Data.Len())
		b.step.working--
		e.working--
		b.step.version.release(1)
	}
	clear(b.tasks[len(left):])
	b.tasks = left
	return dropped
}

// sendBatch sends a batch. Each event has its own result, and only events that
// failed are sent again (https://github.com/redpanda-data/connect/issues/4400).
func (e *Engine) sendBatch(b *batch) {
	defer b.cancel()
	b.cancelIfCut()
	spans := e.startSends(b)
	begun := time.Now()
	errs := e.callBatchSink(b)
	now := time.Now()
	e.cfg.Observer.Timed(PhaseSink, now.Sub(begun), 1)
	for i, span := range spans {
		endSend(span, errOf(errs, i))
	}
	if errs == nil && b.step.out.Receipt == nil {
		e.endTasks(b, now)
		e.applyOutcomes(b, nil)
		return
	}
	outs := make([]outcome, len(b.tasks))
	// If the destination refused all events, it is unknown which one it cannot take.
	// They are sent singly, so that a bad one does not fail the others. Events that the
	// sink could not send were not in its call.
	none := allFailed(errs)
	sent := countSent(errs)
	whole := sent > 1 && none && b.ctx.Err() == nil
	single := whole && allPermanent(errs)
	known := !none
	for i, t := range b.tasks {
		unsent := connector.IsUnsendable(errOf(errs, i))
		if single && !unsent {
			t.single = true
			outs[i] = outcome{kind: again, err: errs[i]}
			continue
		}
		before := t.retries
		if outs[i] = e.afterSend(b.ctx, t, errOf(errs, i), now, known); outs[i].kind == store {
			outs[i].kind = again // a worker stores it by itself
		}
		known = known || !unsent
		t.single = t.single || whole && t.retries > before
	}
	e.applyOutcomes(b, outs)
}

// endTasks is endTask for a batch of which every event was delivered.
func (e *Engine) endTasks(b *batch, now time.Time) {
	ms := make([]*connector.Message, 0, len(b.tasks))
	ens := make([]*entry, 0, len(b.tasks))
	var counts [Interrupted]int // by status
	for _, t := range b.tasks {
		if whole, last := t.entry.countDone(Delivered); last {
			t.entry.m.Outcome = whole.outcome()
			ms, ens = append(ms, t.entry.m), append(ens, t.entry)
			endSpan(t.entry.span, nil, whole)
			counts[whole]++
		}
	}
	e.cfg.Observer.Ended(b.step.out.Name, Delivered, len(b.tasks))
	if len(ms) == 0 {
		return
	}
	connector.SettleAll(ms, nil)
	e.observeTotal(ens, now)
	for whole, n := range counts {
		if n > 0 {
			e.cfg.Observer.Settled(Status(whole), n)
		}
	}
}

// applyOutcomes is applyOutcome for the events of a batch. outs is nil if all were
// delivered.
func (e *Engine) applyOutcomes(b *batch, outs []outcome) {
	var back []*entry
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sending, b)
	for i, t := range b.tasks {
		out := outcome{kind: delivered}
		if outs != nil {
			out = outs[i]
		}
		if en := e.applyOutcome(t, out, nil); en != nil {
			back = append(back, en)
		}
	}
	e.wakeWorkers()
	if len(back) == 0 {
		return
	}
	e.mu.Unlock()
	e.handBack(back)
	e.mu.Lock()
	for _, en := range back {
		e.removeEntry(en)
	}
}

// cancelIfCut cancels the batch if the call context of one of its events ended
// before a worker took the batch. Later, cancelCalls cancels it. The events of
// other assignments are then sent again.
func (b *batch) cancelIfCut() {
	for _, t := range b.tasks {
		if t.call.Err() != nil {
			b.cancel()
			return
		}
	}
}

// allFailed reports whether no event of a batch was delivered.
func allFailed(errs []error) bool {
	return len(errs) > 0 && !slices.Contains(errs, nil)
}

// countSent returns how many events of a batch the sink could send.
func countSent(errs []error) (n int) {
	for _, err := range errs {
		if !connector.IsUnsendable(err) {
			n++
		}
	}
	return n
}

// allPermanent reports whether all events of a batch were refused for good.
func allPermanent(errs []error) bool {
	for _, err := range errs {
		if err == nil || connector.ClassOf(err) != connector.Permanent {
			return false
		}
	}
	return len(errs) > 0
}

// callBatchSink returns one result for each event, or nil if all were
// delivered.
func (e *Engine) callBatchSink(b *batch) (errs []error) {
	n := len(b.tasks)
	defer func() {
		if r := recover(); r != nil {
			t := b.tasks[0]
			errs = repeat(sinkBug{e.panicked(t.context(t.call), t.entry.m, "sink", r)}, n)
		}
	}()
	events := make([]*cloudevent.Event, n)
	for i, t := range b.tasks {
		events[i] = t.event
	}
	errs = b.step.batches.SendBatch(b.ctx, events)
	switch len(errs) {
	case n:
		for _, err := range errs {
			if err != nil {
				return errs
			}
		}
		return nil
	case 0:
		return nil
	default:
		return repeat(sinkBug{fmt.Errorf("the sink returned %d results for a batch of %d events", len(errs), n)}, n)
	}
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// errOf returns the result of one event of a batch.
func errOf(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}

// startSends begins a span for each event of a batch. It returns nil without
// tracing.
func (e *Engine) startSends(b *batch) []trace.Span {
	if e.cfg.Tracer == nil {
		return nil
	}
	spans := make([]trace.Span, len(b.tasks))
	for i, t := range b.tasks {
		_, spans[i] = e.startSend(b.ctx, t)
	}
	return spans
}
