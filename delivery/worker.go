package delivery

import (
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/concurrency"
)

// runWorker is a worker. It takes a task or a batch, works on it without the
// lock, and applies the outcome with the lock.
func (e *Engine) runWorker() {
	var routed []Routed // of the current transform
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waking--
	for {
		t, b, round := e.next()
		switch {
		case b != nil:
			events := len(b.tasks)
			e.mu.Unlock()
			e.sendBatch(b)
			e.mu.Lock()
			b.step.endCall(round, events)
		case t != nil:
			s := t.step
			e.mu.Unlock()
			var out outcome
			out, routed = e.attempt(t, routed[:0])
			e.mu.Lock()
			s.endCall(round, 1)
			if back := e.conclude(t, out, routed); back != nil {
				e.mu.Unlock()
				e.handBack([]*entry{back})
				e.mu.Lock()
				e.removeEntry(back)
			}
			clear(routed)
			e.newlyReady = max(0, e.newlyReady-1) // this worker takes one
			e.wakeWorkers()
		default:
			return
		}
	}
}

// next waits for a task or a batch and returns it, with the round in which its
// call began. It returns neither if the worker is to stop.
func (e *Engine) next() (*task, *batch, concurrency.Round) {
	for {
		if e.workers > e.maxWorkers() {
			e.workers--
			e.newlyReady++ // it may have been woken for work
			e.wakeWorkers()
			return nil, nil, 0
		}
		t, b, round := e.pick()
		switch {
		case t != nil || b != nil:
			return t, b, round
		case e.closed && e.inFlight == 0:
			e.workers--
			return nil, nil, 0
		case e.toStop > 0:
			e.toStop--
			e.workers--
			return nil, nil, 0
		case e.sealIdle():
			continue // the sealed batch is the next work
		default:
			e.wakeSources()
			e.parked++
			e.wake.Wait()
			e.waking--
		}
	}
}

// pick takes work from the steps in turn, so that a slow output does not block
// the others.
func (e *Engine) pick() (*task, *batch, concurrency.Round) {
	v := e.version.Load()
	n := len(v.outputs) + 1
	for range n {
		e.nextStep = (e.nextStep + 1) % n
		s := &v.transform
		if e.nextStep > 0 {
			s = &v.outputs[e.nextStep-1]
		}
		for s.calls < s.concurrency.Workers() {
			if len(s.sealed) > 0 {
				return nil, e.takeBatch(s), s.beginCall()
			}
			l := s.keptReady.pop()
			if l == nil && !e.stepFull(s) {
				l = s.ready.pop()
				e.resumeSources()
			}
			if l == nil {
				break
			}
			switch {
			case !e.beginHead(l):
			case s.fitsBatch(l.head):
				e.addToBatch(l) // nothing else is to be done for it
			default:
				l.head.entry.calls++
				return l.head, nil, s.beginCall()
			}
		}
	}
	return nil, nil, 0
}

// stepFull reports whether no more work may begin at a step. It counts per
// output, so an output that hangs leaves the others their share.
func (e *Engine) stepFull(s *step) bool {
	return s.working+s.kept >= s.maxInFlight || e.working >= e.cfg.MaxInFlight*max(1, len(s.version.outputs))
}

// beginHead begins work on a lane's head. It returns false if the head has to
// wait for the gate.
func (e *Engine) beginHead(l *lane) bool {
	t, s := l.head, l.step
	if s.gate.rotatesProbe(t) && len(s.gated) > 0 {
		s.gate.taskGone(t)
		e.moveGateTo(s, 1)
	}
	if s.out != nil && !s.gate.allows(t) {
		e.waitForGate(l)
		return false
	}
	if t.pauses == 0 {
		s.gate.taskBegins(t)
	}
	s.leavePlace(t)
	l.state = laneWorking
	s.working++
	e.working++
	s.version.use(1)
	t.call = t.entry.in.callContext(s.version)
	return true
}

// maxWorkers is the sum of the worker limits of all steps.
func (e *Engine) maxWorkers() int {
	n := 0
	e.version.Load().steps(func(s *step) { n += s.concurrency.Workers() })
	return n
}

// waiting is how many tasks and batches wait for a worker.
func (s *step) waiting() int { return s.ready.n + s.keptReady.n + len(s.sealed) }

// makeReady queues a lane for the next worker.
func (e *Engine) makeReady(l *lane) {
	if l.head.kept {
		l.step.keptReady.push(l)
	} else {
		l.step.ready.push(l)
	}
	e.newlyReady++
}

// wakeWorkers wakes or starts workers for what became ready since it was last
// called, as far as the limits allow. It removes a worker from parked before it
// wakes it, so that two calls never count on the same worker.
func (e *Engine) wakeWorkers() {
	if e.newlyReady == 0 {
		return
	}
	useful, behind := -e.waking, false
	e.version.Load().steps(func(s *step) {
		work, free := s.waiting(), max(0, s.concurrency.Workers()-s.calls)
		useful += min(work, free)
		behind = behind || work > free
	})
	n := min(e.newlyReady, useful)
	for e.newlyReady = 0; n > 0; n-- {
		switch {
		case e.parked > 0:
			e.parked--
			e.minParked = min(e.minParked, e.parked)
			e.wake.Signal()
		case e.workers < e.maxWorkers():
			e.workers++
			e.others.Go(e.runWorker)
		default:
			behind, n = true, 1
			continue
		}
		e.waking++
	}
	if behind {
		e.watchLimits()
	}
}

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
	transformed                    // its events are to be delivered
	again                          // the task is attempted again at once
	store                          // its dead letter is to be stored
	pause                          // the task waits until a time
	wait                           // the task waits for the gate
	notBegun                       // nothing was attempted, as the assignment is over
)

// conclude applies the outcome of a task. It returns the task's entry if the
// caller must hand it back and then remove it. The caller holds the lock.
func (e *Engine) conclude(t *task, out outcome, routed []Routed) (back *entry) {
	en, s, l := t.entry, t.step, t.lane
	over := out.kind == done || out.kind == delivered
	e.noteError(out.err)
	s.working--
	e.working--
	s.version.release(1)
	en.calls--
	switch {
	case en.in.ended:
		e.releaseHold(t)
		s.gate.taskGone(t)
	case s.version != e.version.Load():
		e.concludeOld(t, over)
	case over:
		t.done = true
		e.concludeGate(t, out)
		e.popHead(l)
	case out.kind == transformed:
		next := t.next
		e.releaseHold(t)
		if t.err != nil {
			e.enqueueDeadLetter(t)
		} else {
			e.deliver(en, routed)
		}
		l.head = next
		e.advance(l)
	case out.kind == again || out.kind == store:
		s.keepPlace(t)
		e.makeReady(l)
	case out.kind == pause:
		s.keepPlace(t)
		e.hold(t, out.held)
		e.noteAsked(s, out)
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

// concludeOld is conclude for a task of a version that was replaced. Its
// success counts; anything else is done again on the new version.
func (e *Engine) concludeOld(t *task, over bool) {
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

// concludeGate reports a task that is done to the gate.
func (e *Engine) concludeGate(t *task, out outcome) {
	s := t.step
	e.releaseHold(t)
	if s.out == nil {
		return
	}
	if out.kind == delivered && s.gate.taskDelivered(t) {
		e.logGate(s)
	}
	s.gate.taskGone(t)
	e.moveGate(s)
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

// endRank lists the ends of deliveries from the least to the most grave. A
// message has the gravest end of its deliveries.
var endRank = []Status{Filtered, Unrouted, Delivered, Dropped, DeadLettered}

// finish ends a task. The last task of an entry settles the message. It is
// called without the lock, before the entry is uncounted.
func (e *Engine) finish(t *task, s Status, now time.Time) {
	en := t.entry
	if t.err == nil && t.step.out != nil {
		e.cfg.Observer.Ended(t.step.out.Name, s, 1)
	}
	if whole, last := en.finish(s); last {
		en.m.Settle(nil)
		endSpan(en.span, t.letter, whole)
		e.cfg.Observer.Settled(whole, 1)
		e.cfg.Observer.Timed(PhaseTotal, now.Sub(en.accepted), 1)
	}
}

// finish counts a task as done. It reports whether it was the last, and then
// how the message ended.
func (en *entry) finish(s Status) (whole Status, last bool) {
	rank := int32(0)
	for int(rank) < len(endRank)-1 && endRank[rank] != s {
		rank++
	}
	for seen := en.worstEnd.Load(); seen < rank && !en.worstEnd.CompareAndSwap(seen, rank); seen = en.worstEnd.Load() {
	}
	if en.pending.Add(-1) > 0 {
		return "", false
	}
	return endRank[en.worstEnd.Load()], true
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
