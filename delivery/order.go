package delivery

import (
	"hash/maphash"
	"iter"

	"github.com/lsm/fiso/common/connector"
)

// laneOf returns the name of a message's lane; ordered is false if the message
// has no order. A name is a 64-bit hash, which avoids a copy of the key. Keys
// that collide share a lane: they wait for each other, and the order is kept.
func (e *Engine) laneOf(m *connector.Message) (hash uint64, ordered bool) {
	switch {
	case e.cfg.Ordering == OrderPartition:
		return 0, true
	case e.cfg.Ordering == OrderNone || m.Key == nil:
		return 0, false
	default:
		return maphash.Bytes(e.seed, m.Key), true
	}
}

// laneFor returns the lane of an entry's key at a step, or nil if there is
// none.
func (e *Engine) laneFor(en *entry, s *step) *lane {
	if !en.ordered {
		return nil
	}
	return en.in.lanes[s.number].get(en.hash)
}

// enqueue appends a task to its lane at a step. The caller holds the lock.
func (e *Engine) enqueue(t *task, s *step) {
	t.step = s
	en := t.entry
	if l := e.laneFor(en, s); l != nil {
		l.push(t)
		if s.collecting != nil && l.state == laneJoined {
			s.collecting.moreWaiting = true
		}
		return
	}
	l := e.spare.lane()
	l.in, l.step, l.hash, l.named = en.in, s, en.hash, en.ordered
	if l.named {
		en.in.lanes[s.number].put(l)
	}
	l.push(t)
	e.advance(l)
}

// deliver enqueues the deliveries of an entry. The caller has left out those
// that are done (entry.achieved), so there is at least one; it holds the lock,
// and no task of the entry's key waits at the transform.
func (e *Engine) deliver(en *entry, routed []Routed) {
	v := e.version.Load()
	en.retransform = nil
	if n := len(routed); n > 1 {
		en.pending.Store(int32(n)) //nolint:gosec // G115: bounded by the size of an event
		en.rest = make([]task, n-1)
	}
	for i := range routed {
		t := &en.first
		if i > 0 {
			t = &en.rest[i-1]
		}
		*t = task{entry: en, event: routed[i].Event, part: routed[i].Part, attachment: routed[i].Attachment}
		e.enqueue(t, &v.outputs[routed[i].Output])
	}
}

// enqueueDeadLetter enqueues a message that became no event in the lane of its
// key at the first output, so that the dead letters of a key are in order, too.
// The caller holds the lock.
func (e *Engine) enqueueDeadLetter(t *task) {
	en := t.entry
	en.retransform = nil
	en.first = task{entry: en, err: t.err}
	e.enqueue(&en.first, &e.version.Load().outputs[0])
}

// popHead removes the head of a lane, which is done, and starts the next task.
func (e *Engine) popHead(l *lane) {
	l.head = l.head.next
	e.advance(l)
}

// advance starts a lane's head: it joins the collecting batch at once if it
// only needs a batch; otherwise a worker will take it. If the head was
// transformed before its turn, its deliveries are enqueued now. The caller
// holds the lock.
func (e *Engine) advance(l *lane) {
	for l.head != nil && (l.head.entry == nil || l.step.out == nil && (l.head.routed != nil || l.head.err != nil)) {
		t := l.head
		l.head = t.next
		switch {
		case t.entry == nil: // its entry is settled
		case t.err != nil:
			e.enqueueDeadLetter(t)
		default:
			e.deliver(t.entry, t.routed)
		}
	}
	t, s := l.head, l.step
	switch {
	case t == nil:
		e.dropLane(l)
	case t.entry.retransform == t && t.entry.calls > 0:
		l.state = laneBlocked
	case s.fitsBatch(t) && s.gate.state == gateOpen && !e.stepFull(s) && e.beginHead(l):
		e.addToBatch(l)
	default:
		e.makeReady(l)
	}
}

// dropLane removes a lane that has no task left.
func (e *Engine) dropLane(l *lane) {
	l.state = laneOver
	if l.named && !l.in.ended && l.step.version == e.version.Load() {
		l.in.lanes[l.step.number].remove(l.hash)
	}
	e.spare.putLane(l)
}

// removeEntry stops counting an entry that is settled, and frees it for its
// next use.
func (e *Engine) removeEntry(en *entry) {
	e.removeFromCounts(en)
	e.spare.putEntry(en)
}

// removeFromCounts stops counting an entry.
func (e *Engine) removeFromCounts(en *entry) {
	a := en.in
	a.unlink(en)
	a.inFlight--
	e.inFlight--
	e.bytes -= en.size
	if t := en.retransform; t != nil { // still queued in a lane
		t.entry = nil
		if !a.ended && t.lane.head == t && t.lane.state == laneBlocked {
			e.advance(t.lane)
		}
	}
	e.afterLeft(a)
}

// afterLeft is called after messages of an assignment are no longer counted.
func (e *Engine) afterLeft(a *assignment) {
	if a.ended && a.inFlight == 0 {
		e.removeAssignment(a)
	}
	e.roomFreed(a)
}

// tasks iterates over the tasks of an entry.
func (en *entry) tasks() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		if !yield(&en.first) {
			return
		}
		for i := range en.rest {
			if !yield(&en.rest[i]) {
				return
			}
		}
		if en.retransform != nil {
			yield(en.retransform)
		}
	}
}

// freeList keeps used entries and lanes, so that in steady state a message
// allocates neither.
type freeList struct {
	max     int // of each kind
	entries []*entry
	lanes   []*lane
	unused  []entry // not used yet
}

// entrySlab is how many entries are allocated at a time.
const entrySlab = 32

func (s *freeList) entry() *entry {
	if n := len(s.entries); n > 0 {
		en := s.entries[n-1]
		s.entries = s.entries[:n-1]
		return en
	}
	if len(s.unused) == 0 {
		s.unused = make([]entry, entrySlab)
	}
	en := &s.unused[0]
	s.unused = s.unused[1:]
	return en
}

func (s *freeList) putEntry(en *entry) {
	en.reset()
	if len(s.entries) < s.max {
		s.entries = append(s.entries, en)
	}
}

func (s *freeList) lane() *lane {
	if n := len(s.lanes); n > 0 {
		l := s.lanes[n-1]
		s.lanes = s.lanes[:n-1]
		return l
	}
	return new(lane)
}

func (s *freeList) putLane(l *lane) {
	*l = lane{state: laneOver}
	if len(s.lanes) < s.max {
		s.lanes = append(s.lanes, l)
	}
}
