package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// shard is one assignment: a topic, a partition and an epoch. Its lanes are its
// own, so the same key in another topic, or in the same partition after it was
// lost and came back, is another lane
// (https://github.com/confluentinc/parallel-consumer/issues/184).
type shard struct {
	assignment *connector.Assignment
	ctx        context.Context // of the assignment
	lanes      lanes
	oldest     *item // in the order of acceptance
	newest     *item
	inFlight   int
	calls      []call        // of stages in use, the current one last
	ended      bool          // nothing is begun any more
	empty      chan struct{} // closed when it ended and has nothing in flight

	waiting int       // handlers that wait for room
	starved bool      // one of them for bytes, which any shard may free
	room    sync.Cond // calls them
}

// call is the context of calls on one stage. It outlives the assignment by
// DrainTimeout, and the stage's replacement too.
type call struct {
	stage  *stage
	ctx    context.Context
	cancel context.CancelFunc
}

// shardOf finds the shard of an assignment or makes it; nil when the
// assignment is over. Called with the lock held.
func (e *Engine) shardOf(a *connector.Assignment) *shard {
	if s := e.shards[a]; s != nil {
		return s
	}
	if e.closed || a.Over() {
		return nil
	}
	s := &shard{assignment: a, ctx: a.Context(), empty: make(chan struct{})}
	s.room.L = &e.mu
	e.shards[a] = s
	e.spare.max = max(e.spare.max, len(e.shards)*e.cfg.MaxInFlight)
	e.watchers.Go(func() { e.watch(s) })
	return s
}

// insert puts it before another into the order of acceptance; nil: last.
func (s *shard) insert(it, before *item) {
	it.newer = before
	if before == nil {
		it.older, s.newest = s.newest, it
	} else {
		it.older, before.older = before.older, it
	}
	if it.older == nil {
		s.oldest = it
	} else {
		it.older.newer = it
	}
}

func (s *shard) unlink(it *item) {
	if it.older == nil {
		s.oldest = it.newer
	} else {
		it.older.newer = it.newer
	}
	if it.newer == nil {
		s.newest = it.older
	} else {
		it.newer.older = it.older
	}
}

// callOn is the context of calls on st.
func (s *shard) callOn(st *stage) context.Context {
	if n := len(s.calls); n > 0 && s.calls[n-1].stage == st {
		return s.calls[n-1].ctx
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	s.calls = append(s.calls, call{st, ctx, cancel})
	return ctx
}

// admit waits for room for one more event; false when the shard ended first.
// A shard with nothing in flight always has room, so that neither a record
// over the byte limit nor a stuck neighbour can stop it for good.
func (e *Engine) admit(s *shard, size int64) bool {
	for !s.ended && !e.closed {
		if e.fits(s, size) {
			return true
		}
		full := s.inFlight >= e.cfg.MaxInFlight
		s.waiting++
		if e.crowd() {
			e.crowded = true
		} else if !full && !s.starved {
			s.starved = true
			e.starved++
		}
		e.blocked[s] = struct{}{}
		e.hurry()
		s.room.Wait()
		if s.waiting--; s.waiting == 0 {
			e.unblock(s)
		}
	}
	return false
}

// fits reports whether there is room for one more event.
func (e *Engine) fits(s *shard, size int64) bool {
	return s.inFlight == 0 || s.inFlight < e.cfg.MaxInFlight && e.bytes+size <= e.cfg.MaxInFlightBytes && !e.crowd()
}

// enough is how many events are ready for a worker, or about to be, when no more
// is accepted of a shard that has something in flight. What is made further ahead
// waits just as long for its turn, and is out of the processor's cache by then:
// with eight partitions of 1,024 each, an event to Kafka cost a tenth more.
const enough = 1024

// crowd reports whether there is enough for the workers to do.
func (e *Engine) crowd() bool { return e.ready.n+e.making >= enough }

// thin lets handlers try again that wait because of a crowd, once half of it is
// gone.
func (e *Engine) thin() {
	if e.crowded && e.ready.n+e.making <= enough/2 {
		e.crowded = false
		e.inviteAll()
	}
}

// unblock says that no handler waits in s any more.
func (e *Engine) unblock(s *shard) {
	delete(e.blocked, s)
	if s.starved {
		s.starved = false
		e.starved--
	}
}

// invite lets handlers try again after an event of s has left. While workers
// have enough to do it waits until a sixteenth of the room is free, so that a
// full flow does not change goroutines for each event.
func (e *Engine) invite(s *shard) {
	if len(e.blocked) == 0 {
		return
	}
	if e.crowded {
		if s.inFlight == 0 {
			s.room.Broadcast()
		}
		e.thin()
		return
	}
	if s.waiting > 0 && (e.ready.n == 0 || s.inFlight <= e.cfg.MaxInFlight-e.cfg.MaxInFlight/16) {
		s.room.Broadcast()
	}
	if e.starved == 0 {
		return
	}
	for b := range e.blocked {
		if b.starved {
			b.room.Broadcast()
		}
	}
}

// inviteAll is invite for when workers run out of work.
func (e *Engine) inviteAll() {
	for s := range e.blocked {
		if s.inFlight < e.cfg.MaxInFlight || s.starved {
			s.room.Broadcast()
		}
	}
}

// watch owns the end of a shard: what was not begun goes back at once, calls
// under way have DrainTimeout.
func (e *Engine) watch(s *shard) {
	select {
	case <-s.ctx.Done():
	case <-e.closing:
	}
	e.settleAll(e.end(s), Interrupted, time.Now())
	drain := time.NewTimer(e.cfg.DrainTimeout)
	defer drain.Stop()
	select {
	case <-s.empty:
	case <-drain.C:
		e.cut(func(on *shard, _ call) bool { return on == s })
		<-s.empty
	}
}

// end stops a shard and returns what it had not begun, oldest first, out of
// every account and still to be settled.
func (e *Engine) end(s *shard) []*item {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.ended = true
	s.room.Broadcast()
	mine := func(l *lane) bool { return l.shard == s && e.idle(l) }
	e.ready.remove(mine)
	e.pauses.remove(mine)
	st := e.stage.Load()
	st.line.remove(mine)
	e.expel(st, mine)

	var back []*item
	for it := s.oldest; it != nil; it = it.newer {
		l := it.lane
		if l == nil {
			continue // what is being made, which whoever makes it hands back
		}
		if it == l.head && l.place != over {
			it.next, l.tail = nil, it // under way, the last of its lane
			continue
		}
		back = append(back, it)
	}
	for _, it := range back {
		st.line.gone(it)
		e.forget(it)
	}
	if s.inFlight == 0 && len(back) == 0 {
		delete(e.shards, s.assignment)
		close(s.empty)
	}
	s.lanes = lanes{}
	e.moveLine(st)
	return back
}

// idle says of a lane that is taken out of where it waited that it is in
// nobody's hands any more.
func (e *Engine) idle(l *lane) bool {
	l.place = over
	return true
}

// cut cancels the contexts of calls for which it holds.
func (e *Engine) cut(which func(*shard, call) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.shards {
		for _, c := range s.calls {
			if which(s, c) {
				c.cancel()
			}
		}
	}
	for b := range e.sending {
		for _, it := range b.items {
			if which(it.lane.shard, call{stage: b.stage}) {
				b.cancel()
				break
			}
		}
	}
}

// remove takes lanes out for which gone holds.
func (p *pauses) remove(gone func(*lane) bool) {
	left := (*p)[:0]
	for _, l := range *p {
		if !gone(l) {
			l.index = len(left)
			left = append(left, l)
		}
	}
	clear((*p)[len(left):])
	*p = left
	heap.Init(p)
}
