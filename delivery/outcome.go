package delivery

import (
	"time"

	"github.com/lsm/fiso/common/connector"
)

// outcome is the result of an attempt.
type outcome struct {
	kind  outcomeKind
	delay time.Duration // of a pause
	held  *hold         // during a pause; nil: it is a counted retry
	asked time.Duration // the pause that the sink asked for, if it is long
	err   error
}

type outcomeKind uint8

const (
	done        outcomeKind = iota // the task is done
	delivered                      // the task is done, and the sink took the event
	transformed                    // its events are to be delivered, or its dead letter is to be stored
	again                          // the task is attempted again at once
	store                          // its dead letter is to be stored
	pause                          // the task waits until a time
	wait                           // the task waits for the gate
	notBegun                       // nothing was attempted, as the assignment is over
)

// applyOutcome applies the outcome of a task. It returns the task's entry if the
// caller must hand it back and then remove it. The caller holds the lock.
func (e *Engine) applyOutcome(t *task, out outcome, routed []Routed) (back *entry) {
	en, s, l := t.entry, t.step, t.lane
	over := out.kind == done || out.kind == delivered
	e.noteError(out.err)
	s.working--
	e.working--
	s.concurrency.Finished()
	s.version.release(1)
	en.calls--
	switch {
	case en.in.ended:
		e.releaseHold(t)
		s.gate.taskGone(t)
		e.moveGate(s)
	case s.version != e.version.Load():
		e.applyOldOutcome(t, over)
	case over:
		t.done = true
		e.reportDone(t, out)
		e.popHead(l)
	case out.kind == transformed:
		next := t.next
		e.releaseHold(t)
		if t.err = out.err; t.err != nil { // now, with the lock, as Status reads it
			e.enqueueDeadLetter(t)
		} else {
			e.deliver(en, routed)
		}
		l.head = next
		e.advance(l)
	case out.kind == again || out.kind == store:
		s.countKept(t)
		e.leaveGate(t, nil)
		e.makeReady(l)
		e.moveGate(s)
	case out.kind == pause:
		s.countKept(t)
		e.hold(t, out.held)
		e.noteAsked(s, out)
		e.leaveGate(t, out.held)
		e.pauseLane(l, out.delay)
		e.moveGate(s)
	case out.kind == wait:
		e.waitForGate(l)
		e.moveGate(s) // the gate may be open by now, or lack a probe
	case out.kind == notBegun:
		l.state = laneBlocked // until end has run
	}
	switch {
	case en.calls > 0:
	case en.pending.Load() == 0:
		e.removeEntry(en)
	case en.in.ended:
		return en
	}
	return nil
}

// applyOldOutcome is applyOutcome for a task of a version that was replaced. Its
// success counts; anything else is done again on the new version.
func (e *Engine) applyOldOutcome(t *task, over bool) {
	en := t.entry
	if over && t.step.out != nil {
		en.achieved = append(en.achieved, doneDelivery{t.step.out.Name, t.part})
	}
	if en.calls > 0 || en.pending.Load() == 0 {
		return
	}
	en.pending.Store(1) // the transform on the new version
	if t := en.retransform; t.lane.head == t && t.lane.state == laneBlocked {
		e.advance(t.lane)
	}
}

// reportDone reports a task that is done to the gate.
func (e *Engine) reportDone(t *task, out outcome) {
	s := t.step
	e.releaseHold(t)
	if s.out == nil {
		return
	}
	if out.kind == delivered {
		e.noteDelivery(t)
	}
	s.gate.taskGone(t)
	e.moveGate(s)
}

// noteDelivery reports a delivery to the gate, once.
func (e *Engine) noteDelivery(t *task) {
	if t.delivered {
		return
	}
	t.delivered = true
	if t.step.gate.taskDelivered(t) {
		e.logGate(t.step)
	}
}

// leaveGate makes room for another probe if a task waits for something other than
// the destination: for its receipt, its dead letter, or a person. A probe that has
// failed remains the probe until its next try, for the sake of the backoff.
func (e *Engine) leaveGate(t *task, h *hold) {
	g := &t.step.gate
	switch {
	case t.letter != nil:
	case t.receipt:
		e.noteDelivery(t)
	case h == nil || h.cause != CauseBlocked || g.probeFailed:
		return
	}
	g.taskGone(t)
}

// waitForGate makes a lane wait for the gate.
func (e *Engine) waitForGate(l *lane) {
	s := l.step
	l.state = laneGated
	s.gated = append(s.gated, l)
	e.hold(l.head, s.gate.waitReason())
}

// moveGate makes lanes ready that no longer have to wait for the gate: all if
// it is open, the first if it lacks a probe.
func (e *Engine) moveGate(s *step) {
	switch {
	case s.gate.state == gateOpen:
		e.moveGateTo(s, len(s.gated))
	case s.gate.probe == nil && len(s.gated) > 0:
		e.moveGateTo(s, 1)
	}
}

// moveGateTo makes the first n lanes ready that wait for a gate. The first
// becomes the probe if there is none.
func (e *Engine) moveGateTo(s *step, n int) {
	if n == 0 {
		return
	}
	for _, l := range s.gated[:n] {
		e.releaseHold(l.head)
		s.gate.allows(l.head)
		e.makeReady(l)
	}
	s.gated = append(s.gated[:0], s.gated[n:]...)
}

// removeGated removes the lanes for which gone is true.
func (s *step) removeGated(gone func(*lane) bool) {
	left := s.gated[:0]
	for _, l := range s.gated {
		if !gone(l) {
			left = append(left, l)
		}
	}
	clear(s.gated[len(left):])
	s.gated = left
}

// endTask ends a task. The last task of an entry settles the message. It is
// called without the lock, before the entry is uncounted.
func (e *Engine) endTask(t *task, s Status, now time.Time) {
	en := t.entry
	if t.err == nil && t.step.out != nil {
		e.cfg.Observer.Ended(t.step.out.Name, s, 1)
	}
	if whole, last := en.countDone(s); last {
		en.m.Outcome = whole.outcome()
		en.m.Settle(nil)
		endSpan(en.span, t.letter, whole)
		e.cfg.Observer.Settled(whole, 1)
		e.cfg.Observer.Timed(PhaseTotal, now.Sub(en.accepted), 1)
	}
}

// countDone counts a task as done. It reports whether it was the last, and then
// how the message ended.
func (en *entry) countDone(s Status) (whole Status, last bool) {
	rank := int32(s)
	for seen := en.worstEnd.Load(); seen < rank && !en.worstEnd.CompareAndSwap(seen, rank); seen = en.worstEnd.Load() {
	}
	if en.pending.Add(-1) > 0 {
		return 0, false
	}
	return Status(en.worstEnd.Load()), true //nolint:gosec // G115: it was a Status
}

// handBack settles entries as interrupted. It is called without the lock.
func (e *Engine) handBack(ens []*entry) {
	if len(ens) == 0 {
		return
	}
	ms := make([]*connector.Message, len(ens))
	for i, en := range ens {
		ms[i] = en.m
	}
	connector.SettleAll(ms, connector.ErrInterrupted)
	for _, en := range ens {
		endSpan(en.span, nil, Interrupted)
	}
	e.cfg.Observer.Settled(Interrupted, len(ens))
	e.observeTotal(ens, time.Now())
}

// observeTotal reports how long entries took. Entries that were accepted
// together are one report.
func (e *Engine) observeTotal(ens []*entry, now time.Time) {
	first := 0
	for i, en := range ens {
		if en.accepted != ens[first].accepted {
			e.cfg.Observer.Timed(PhaseTotal, now.Sub(ens[first].accepted), i-first)
			first = i
		}
	}
	e.cfg.Observer.Timed(PhaseTotal, now.Sub(ens[first].accepted), len(ens)-first)
}

// settledAs counts messages that ended, if n is not 0.
func (e *Engine) settledAs(s Status, n int) {
	if n > 0 {
		e.cfg.Observer.Settled(s, n)
	}
}
