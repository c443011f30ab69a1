package engine

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// run is what a source hands over in one call. Where the processor is quick,
// the source's own goroutine makes the events of a run, one after the other:
// what is filtered out then costs neither an item nor a lane nor a worker, and
// all the others share two holds of the lock. Where it is not, they go into
// their lanes as they are, and workers make them side by side.
type run struct {
	entries []entry
	done    []*connector.Message // filtered

	shard    *shard
	stage    *stage
	call     context.Context
	accepted time.Time
	// mark stands in the shard's order of acceptance for what is being made.
	mark *item
}

// entry is one message of a run, and what was made of it.
type entry struct {
	m     *connector.Message
	size  int64
	hash  uint64 // the name of its lane, once it is made
	named bool
	state state
	event *cloudevent.Event
	err   error
	span  trace.Span
}

type state uint8

const (
	untouched state = iota
	made            // there is an event, or an error
	filtered        // it is settled, or will be before the lock is taken again
)

// Bounds of what is made in one go.
const (
	// slowCall ends it: what is behind a slow event goes to the workers.
	slowCall = time.Millisecond
	// mostMade is how many bytes events may have more than their messages.
	mostMade = 1 << 20
)

var runs = sync.Pool{New: func() any { return new(run) }}

// handle is what a source calls. It accepts messages, as many at a time as there
// is room for. It blocks while there is none, and hands back what is left when
// the assignment ends first.
func (e *Engine) handle(a *connector.Assignment, ms []*connector.Message) {
	r := runs.Get().(*run) //nolint:forcetypeassert // holds only runs
	r.entries = r.entries[:0]
	for _, m := range ms {
		r.entries = append(r.entries, entry{m: m, size: sizeOf(m)})
	}
	for left := r.entries; len(left) > 0; {
		n, inline := e.accept(a, r, left)
		if n == 0 {
			e.handBack(left, time.Time{})
			break
		}
		if inline {
			e.make(r, left[:n])
			e.land(r, left[:n])
		}
		left = left[n:]
	}
	clear(r.entries)
	r.done, r.mark, r.shard, r.stage, r.call = r.done[:0], nil, nil, nil, nil
	runs.Put(r)
}

// accept waits for room and takes as many messages in as there is room for; 0
// when the assignment is over. They are inline when they are to be made here,
// and else in their lanes already.
func (e *Engine) accept(a *connector.Assignment, r *run, ps []entry) (n int, inline bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.shardOf(a)
	if s == nil || !e.admit(s, ps[0].size) {
		return 0, false
	}
	for n < len(ps) && e.fits(s, ps[n].size) {
		s.inFlight++
		e.inFlight++
		e.bytes += ps[n].size
		n++
	}
	st := e.stage.Load()
	r.shard, r.stage, r.accepted = s, st, time.Now()
	if !st.cost.low() {
		before := e.ready.n
		for i := range ps[:n] {
			e.enter(r, &ps[i], nil)
		}
		e.rouse(e.ready.n - before)
		e.hurry()
		return n, false
	}
	r.mark = e.spare.item()
	r.mark.m, r.mark.accepted = ps[0].m, r.accepted
	s.insert(r.mark, nil)
	r.call = s.callOn(st)
	st.use()
	e.making += n
	return n, true
}

// make processes messages until all are, or one took too long. It stops when
// their assignment or their stage ends, and leaves the rest untouched.
func (e *Engine) make(r *run, ps []entry) {
	stride := r.stage.cost.stride()
	if e.cfg.Tracer != nil {
		stride = 1 // each span has its own beginning
	}
	more := int64(0)
	begun := r.accepted
	for len(ps) > 0 && more < mostMade {
		some := ps[:min(stride, len(ps))]
		n := 0
		for ; n < len(some) && r.shard.ctx.Err() == nil && e.stage.Load() == r.stage; n++ {
			p := &some[n]
			p.event, p.err = e.process(r.call, r.stage, p.m)
			if p.event == nil && p.err == nil {
				p.state = filtered
				r.done = append(r.done, p.m)
				continue
			}
			p.state = made
			p.hash, p.named = e.nameOf(p.m)
			p.span = e.startSpan(p.m, p.event, begun)
			if p.err != nil {
				p.event = nil
			} else {
				more += max(0, int64(p.event.Data.Len())-p.size)
			}
		}
		if n == 0 {
			break
		}
		took := time.Since(begun)
		begun = begun.Add(took)
		each := took / time.Duration(n)
		e.cfg.Observer.Took(PhaseTransform, each, n)
		r.stage.cost.add(each, n)
		if n < len(some) || took > slowCall {
			break
		}
		ps = ps[n:]
	}
	if n := len(r.done); n > 0 {
		connector.SettleAll(r.done, nil)
		e.cfg.Observer.Settled(Filtered, n)
		e.cfg.Observer.Took(PhaseTotal, begun.Sub(r.accepted), n)
	}
}

// land takes what was filtered out of the accounts, and puts the rest into its
// lanes; or hands it back, when the assignment ended meanwhile.
func (e *Engine) land(r *run, ps []entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := r.shard
	ended := s.ended || s.ctx.Err() != nil
	if ended {
		e.mu.Unlock()
		e.handBack(ps, r.accepted) // before it leaves the accounts
		e.mu.Lock()
	}
	before := e.ready.n
	for i := range ps {
		if p := &ps[i]; ended || p.state == filtered {
			s.inFlight--
			e.inFlight--
			e.bytes -= p.size
		} else {
			e.enter(r, p, r.mark)
		}
	}
	r.done = r.done[:0]
	s.unlink(r.mark)
	e.spare.putItem(r.mark)
	r.mark = nil
	r.stage.done()
	e.making -= len(ps)
	e.freed(s)
	e.rouse(e.ready.n - before)
	e.hurry()
}

// enter puts an accepted message into its lane, with what was made of it where
// its stage is still the flow's. It stands before another in the shard's order
// of acceptance, or last. Called with the lock held.
func (e *Engine) enter(r *run, p *entry, before *item) {
	it := e.spare.item()
	it.m, it.size, it.accepted, it.span = p.m, p.size, r.accepted, p.span
	if p.state == made && e.stage.Load() == r.stage {
		it.stage, it.event, it.failed = r.stage, p.event, p.err
		if p.event != nil {
			more := max(0, int64(p.event.Data.Len())-p.size)
			it.size += more
			e.bytes += more
		}
	}
	if p.state != made {
		p.hash, p.named = e.nameOf(p.m)
	}
	s := r.shard
	s.insert(it, before)
	if p.named {
		if l := s.lanes.get(p.hash); l != nil {
			l.push(it)
			if b := e.stage.Load().open; b != nil && l.place == joined {
				b.behind = true
			}
			return
		}
	}
	l := e.spare.lane()
	l.shard, l.hash, l.named = s, p.hash, p.named
	if p.named {
		s.lanes.put(l)
	}
	l.push(it)
	e.onward(l)
}

// handBack settles what is left of messages that never reached their lanes,
// because their assignment ended; accepted is zero for those that never were.
// Called without the lock.
func (e *Engine) handBack(ps []entry, accepted time.Time) {
	back := make([]*connector.Message, 0, len(ps))
	for i := range ps {
		if p := &ps[i]; p.state != filtered {
			back = append(back, p.m)
		}
	}
	if len(back) == 0 {
		return
	}
	connector.SettleAll(back, connector.ErrInterrupted)
	for i := range ps {
		endSpan(ps[i].span, nil, Interrupted)
	}
	e.cfg.Observer.Settled(Interrupted, len(back))
	if !accepted.IsZero() {
		e.cfg.Observer.Took(PhaseTotal, time.Since(accepted), len(back))
	}
}

// sizeOf is what a message counts against MaxInFlightBytes.
func sizeOf(m *connector.Message) int64 {
	n := len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return int64(n)
}
