package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// assignment is what the engine keeps for a connector.Assignment. Its lanes are
// its own, so the same key in another topic, or in the same partition after it
// was lost and came back, is another lane
// (https://github.com/confluentinc/parallel-consumer/issues/184).
type assignment struct {
	source   *connector.Assignment
	lanes    []laneTable // by the number of the step
	oldest   *entry      // in the order of acceptance
	newest   *entry
	inFlight int
	calls    []callContext // of versions in use, the current one last
	ended    bool          // nothing is begun any more
	empty    chan struct{} // closed when it ended and has nothing in flight

	waiting       int       // handlers that wait for room
	waitsForBytes bool      // one of them for bytes, which any assignment may free
	room          sync.Cond // wakes them
}

// over reports whether the source took it away. Safe without the lock.
func (a *assignment) over() bool { return a.source.Over() }

// assignmentOf finds an assignment or makes it; nil when it is over. Called with
// the lock held.
func (e *Engine) assignmentOf(of *connector.Assignment) *assignment {
	if a := e.assignments[of]; a != nil {
		return a
	}
	if e.closed || of.Over() {
		return nil
	}
	a := &assignment{source: of, empty: make(chan struct{}), lanes: make([]laneTable, 1+len(e.version.Load().outputs))}
	a.room.L = &e.mu
	e.assignments[of] = a
	e.spare.max = max(e.spare.max, len(e.assignments)*e.cfg.MaxInFlight)
	e.watchers.Go(func() { e.watch(a) })
	return a
}

// insertEntry puts an entry before another into the order of acceptance; nil: last.
func (a *assignment) insertEntry(en, before *entry) {
	en.in, en.newer = a, before
	if before == nil {
		en.older, a.newest = a.newest, en
	} else {
		en.older, before.older = before.older, en
	}
	if en.older == nil {
		a.oldest = en
	} else {
		en.older.newer = en
	}
}

func (a *assignment) unlink(en *entry) {
	if en.older == nil {
		a.oldest = en.newer
	} else {
		en.older.newer = en.newer
	}
	if en.newer == nil {
		a.newest = en.older
	} else {
		en.newer.older = en.older
	}
}

// callContext is the context of calls on v.
func (a *assignment) callContext(v *version) context.Context {
	if n := len(a.calls); n > 0 && a.calls[n-1].version == v {
		return a.calls[n-1].ctx
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.source.Context()))
	a.calls = append(a.calls, callContext{v, ctx, cancel})
	return ctx
}

// watch owns the end of an assignment: what was not begun goes back at once,
// calls under way have DrainTimeout.
func (e *Engine) watch(a *assignment) {
	select {
	case <-a.source.Context().Done():
	case <-e.closing:
	}
	e.handBack(e.end(a))
	drain := time.NewTimer(e.cfg.DrainTimeout)
	defer drain.Stop()
	select {
	case <-a.empty:
	case <-drain.C:
		e.cancelCalls(func(in *assignment, _ *version) bool { return in == a })
		<-a.empty
	}
}

// end stops an assignment and returns what it had not begun, oldest first, out of
// every account and still to be settled.
func (e *Engine) end(a *assignment) []*entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	a.ended = true
	a.room.Broadcast()
	mine := func(l *lane) bool {
		if l.in != a {
			return false
		}
		l.state = laneOver
		return true
	}
	v := e.version.Load()
	e.pauses.remove(mine)
	v.steps(func(s *step) {
		s.ready.remove(mine)
		s.closing.remove(mine)
		s.removeGated(mine)
		e.dropFromBatch(s, mine)
	})
	var back []*entry
	for en := a.oldest; en != nil; en = en.newer {
		e.releaseTasks(en)
		if en.calls == 0 && !en.placeholder {
			back = append(back, en)
		}
	}
	for _, en := range back {
		e.uncount(en)
	}
	if a.inFlight == 0 && len(back) == 0 {
		e.removeAssignment(a)
	}
	a.lanes = nil
	v.steps(e.moveGate)
	return back
}

// removeAssignment forgets an assignment that ended and has nothing in flight.
func (e *Engine) removeAssignment(a *assignment) {
	delete(e.assignments, a.source)
	for _, c := range a.calls {
		c.cancel()
	}
	close(a.empty)
}

// releaseTasks lets go of what an entry's tasks are known by, none of which begins any
// more.
func (e *Engine) releaseTasks(en *entry) {
	for t := range en.tasks() {
		e.releaseHold(t)
		if t.step != nil {
			t.step.gate.taskGone(t)
			t.step.leavePlace(t)
		}
	}
}

// cancelCalls cancels the contexts of calls for which it holds.
func (e *Engine) cancelCalls(which func(*assignment, *version) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.assignments {
		for _, c := range a.calls {
			if which(a, c.version) {
				c.cancel()
			}
		}
	}
	for b := range e.sending {
		for _, t := range b.tasks {
			if which(t.entry.in, b.step.version) {
				b.cancel()
				break
			}
		}
	}
}
