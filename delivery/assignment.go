package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// assignment is what the engine keeps for a connector.Assignment. It has its
// own lanes: the same key in another topic, or in the same partition after it
// was lost and assigned again, has another lane
// (https://github.com/confluentinc/parallel-consumer/issues/184).
type assignment struct {
	source   *connector.Assignment
	lanes    []laneTable // index: step.number
	oldest   *entry      // list of entries in the order of acceptance
	newest   *entry
	inFlight int
	calls    []callContext // one for each version in use, the current one last
	ended    bool          // no task begins any more
	empty    chan struct{} // closed when the assignment ended and has nothing in flight

	waiting       int       // handlers that wait for room
	waitsForBytes bool      // a handler waits for bytes, which any assignment may free
	room          sync.Cond // wakes the handlers
}

// over reports whether the source ended the assignment. It needs no lock.
func (a *assignment) over() bool { return a.source.Over() }

// assignmentOf returns the engine's assignment for one of the source, and makes
// it if it is new. It returns nil if the assignment is over. The caller holds
// the lock.
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

// insertEntry inserts an entry into the order of acceptance before another one,
// or last if before is nil.
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

// callContext returns the context of calls on v.
func (a *assignment) callContext(v *version) context.Context {
	if n := len(a.calls); n > 0 && a.calls[n-1].version == v {
		return a.calls[n-1].ctx
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.source.Context()))
	a.calls = append(a.calls, callContext{v, ctx, cancel})
	return ctx
}

// watch waits for the end of an assignment. It then hands back the entries
// without a call under way, and cancels the calls under way after DrainTimeout.
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

// end stops an assignment. It returns the entries without a call under way,
// oldest first; they are no longer counted, and the caller settles them.
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
		s.keptReady.remove(mine)
		s.removeGated(mine)
		e.dropFromBatches(s, mine)
	})
	var back []*entry
	for en := a.oldest; en != nil; en = en.newer {
		e.releaseTasks(en)
		if en.calls == 0 && !en.placeholder {
			back = append(back, en)
		}
	}
	for _, en := range back {
		e.removeFromCounts(en)
	}
	if a.inFlight == 0 && len(back) == 0 {
		e.removeAssignment(a)
	}
	a.lanes = nil
	v.steps(e.moveGate)
	e.wakeWorkers()
	return back
}

// removeAssignment removes an assignment that ended and has nothing in flight.
func (e *Engine) removeAssignment(a *assignment) {
	delete(e.assignments, a.source)
	for _, c := range a.calls {
		c.cancel()
	}
	close(a.empty)
}

// releaseTasks removes the tasks of an entry of an ended assignment from the
// held events, the gates and the kept places.
func (e *Engine) releaseTasks(en *entry) {
	for t := range en.tasks() {
		e.releaseHold(t)
		if t.step != nil {
			t.step.gate.taskGone(t)
			t.step.uncountKept(t)
		}
	}
}

// cancelCalls cancels the calls for which which is true.
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
