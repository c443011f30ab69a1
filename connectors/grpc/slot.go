package grpc

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

const (
	// openingCredit is how many events without a key go to a slot whose credit is not
	// known yet, before another slot looks better.
	openingCredit = 16
	// maxDraining limits the streams of a slot that are waiting for their last results.
	maxDraining = 4
	// drainMargin is added to the grace of a Drain, for the last results to arrive.
	drainMargin = 5 * time.Second
	// maxDrain bounds how long a stream waits for its last results.
	maxDrain = 5 * time.Minute
)

// slot sends the events of some keys, in order, over one stream at a time.
type slot struct {
	sink  *Sink
	load  atomic.Int64 // calls that wait or are on the wire
	limit atomic.Int64 // most events in flight, as far as known; 0: no stream opens

	mu       sync.Mutex
	queue    callList                 // calls to send
	active   *slotStream              // takes events; nil: none
	draining map[*slotStream]struct{} // take no more events, and have some in flight
	held     map[uint64]*heldKey      // by hash: keys in flight on draining streams
	closed   bool
}

// heldKey is a key that has events in flight on draining streams.
type heldKey struct {
	inFlight int
	waiting  callList // later events of the key, in order
}

func newSlot(s *Sink) *slot {
	l := &slot{sink: s, draining: map[*slotStream]struct{}{}, held: map[uint64]*heldKey{}}
	l.limit.Store(openingCredit)
	return l
}

// room says how well an event without a key fits in.
func (l *slot) room() int64 { return l.limit.Load() - l.load.Load() }

// submit queues a call.
func (l *slot) submit(c *call) {
	l.load.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.behind = l.active; c.behind != nil {
		c.received = c.behind.received
	}
	l.queue.push(c)
	l.kick()
}

// end ends a call that was taken off every list.
func (l *slot) end(c *call, err error) {
	l.load.Add(-1)
	c.finish(err)
}

// kick makes a stream take the queue, if there is one. l.mu is held.
func (l *slot) kick() {
	switch {
	case l.closed:
		l.failQueue(l.sink.closedError())
	case l.active != nil:
		l.active.poke()
	case l.queue.n == 0:
	case len(l.draining) >= maxDraining:
		err := fmt.Errorf("%s: the receiver ends its streams faster than it answers; check why it drains them", l.sink.name)
		l.failQueue(connector.AsUnavailable(err, 0))
	default:
		l.active = newStream(l)
		l.sink.wait.Go(l.active.run)
	}
}

// failQueue ends all calls that wait for a stream. l.mu is held.
func (l *slot) failQueue(err error) {
	l.load.Add(-int64(l.queue.failAll(func(*call) bool { return true }, err)))
}

// withdraw ends a call whose Send gives up. sent reports whether the event was on the
// wire. silent is a stream that has received nothing since this event was sent or queued
// there, though it has events in flight. ok is false if the call had ended before.
func (l *slot) withdraw(c *call) (sent bool, silent *slotStream, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.list != nil:
		c.list.remove(c)
		l.load.Add(-1)
		if st := l.active; st != nil && st == c.behind && st.received == c.received && len(st.inFlight) > 0 {
			silent = st
		}
		return false, silent, true
	case c.stream != nil:
		c.abandoned = true
		if c.stream.received == c.received {
			silent = c.stream
		}
		return true, silent, true
	}
	return false, nil, false
}

// next returns the next message for the writer of a stream, and counts its event in. It
// returns none if there is none for now; over says that there will never be one.
func (l *slot) next(st *slotStream) (out outgoing, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if st == l.active && st.seq > 0 && l.queue.n > 0 && time.Since(st.opened) > st.maxAge {
		l.detach(st, maxDrain)
	}
	if st != l.active {
		return outgoing{}, true
	}
	for {
		c := l.queue.first
		if c == nil {
			return outgoing{}, false
		}
		if h := l.held[c.hash]; c.keyed && h != nil {
			l.queue.remove(c)
			h.waiting.push(c)
			continue
		}
		size := int64(c.frame.size(st.seq + 1))
		if most := int64(st.settings.GetMaxEventBytes()); most > 0 && size > most {
			l.queue.remove(c)
			l.end(c, l.sink.tooLarge(size, most, "the receiver takes"))
			continue
		}
		if !st.fits(size) {
			return outgoing{}, false
		}
		l.queue.remove(c)
		return st.take(c, size), false
	}
}

// configure applies the settings of a stream. The first ones open it for events.
func (l *slot) configure(st *slotStream, s *pb.Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.received++
	st.settings = s
	if st == l.active {
		l.limit.Store(int64(max(s.GetMaxInFlight(), 0)))
		st.poke()
	}
}

// answer ends the call that a result is for. It ignores a result for an event that is
// not in flight.
func (l *slot) answer(st *slotStream, seq int64, verdict func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.received++
	c := st.inFlight[seq]
	if c == nil {
		return
	}
	delete(st.inFlight, seq)
	st.bytes -= int64(c.frame.size(seq))
	l.load.Add(-1)
	var err error
	if !c.abandoned {
		err = verdict()
	}
	hash, keyed := c.hash, c.keyed
	c.finish(err) // c belongs to Send from here on
	if st == l.active {
		st.poke()
		return
	}
	if keyed {
		l.letGo(hash)
	}
	if len(st.inFlight) == 0 {
		st.giveUp.Reset(drainMargin) // the receiver has nothing left to do but to end the stream
	}
}

// drain makes a stream take no more events. within bounds the wait for its results.
func (l *slot) drain(st *slotStream, within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.received++
	if st != l.active {
		return
	}
	if st.seq == 0 {
		l.limit.Store(0)
		err := fmt.Errorf("%s: the receiver is stopping; it takes no events", l.sink.name)
		l.failQueue(connector.AsUnavailable(err, 0))
	}
	l.detach(st, within)
}

// detach replaces the active stream. l.mu is held.
func (l *slot) detach(st *slotStream, within time.Duration) {
	l.active = nil
	l.draining[st] = struct{}{}
	for _, c := range st.inFlight {
		if !c.keyed {
			continue
		}
		h := l.held[c.hash]
		if h == nil {
			h = &heldKey{}
			l.held[c.hash] = h
		}
		h.inFlight++
	}
	if len(st.inFlight) == 0 {
		within = min(within, drainMargin)
	}
	st.giveUp.Reset(within)
	st.poke() // the writer closes its half
	l.kick()
}

// letGo counts an event of a held key out. l.mu is held.
func (l *slot) letGo(hash uint64) {
	h := l.held[hash]
	if h == nil {
		return
	}
	if h.inFlight--; h.inFlight > 0 {
		return
	}
	delete(l.held, hash)
	h.waiting.moveToFront(&l.queue)
	l.kick()
}

// ended removes a stream that is over, and ends what it did not answer with err. Calls
// that were never sent go to the next stream, except those that must not overtake a
// failed one, and unless the stream never took an event.
func (l *slot) ended(st *slotStream, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wasActive := st == l.active
	delete(l.draining, st)
	if wasActive {
		l.active = nil
		l.limit.Store(openingCredit)
		if st.seq == 0 {
			l.limit.Store(0)
			l.failQueue(err)
		}
	}
	failed := map[uint64]bool{}
	for _, c := range st.inFlight {
		if c.keyed && !c.abandoned {
			failed[c.hash] = true
		}
	}
	for _, c := range st.inFlight {
		hash, keyed := c.hash, c.keyed
		l.end(c, err)
		if keyed && !wasActive {
			l.letGo(hash) // what waits goes to the queue
		}
	}
	clear(st.inFlight)
	if len(failed) > 0 {
		later := func(c *call) bool { return c.keyed && failed[c.hash] }
		l.load.Add(-int64(l.queue.failAll(later, err)))
	}
	l.kick()
}

// close makes the slot refuse calls, and its stream end once it has its results.
func (l *slot) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.active != nil {
		l.detach(l.active, maxDrain)
	}
	l.kick()
}
