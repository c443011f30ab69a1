package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Why the context of an assignment ended; context.Cause gives it to handlers.
var (
	errRevoked = errors.New("partition taken away by a rebalance")
	errLost    = errors.New("partition lost: the group went on without this member")
	errStopped = errors.New("source stops")
	errRewound = errors.New("partition is read again from an earlier record")
)

// assignment is one hold on one partition: from the position it starts at,
// until the partition is taken away, lost or rewound. Whatever happens to its
// messages after it was closed changes nothing.
type assignment struct {
	part   *partition
	member string // of the group, when the assignment began
	ctx    context.Context
	cancel context.CancelCauseFunc
	// prev held the same partition before; nothing is handed over while its
	// messages are in flight, so that two of one key are never side by side.
	prev *assignment
	run  *session

	mu      sync.Mutex
	state   assignmentState
	tracker *settle.Tracker
	// buffer holds what was fetched and not yet handed over, oldest first.
	buffer    []batch
	buffered  int64         // bytes in buffer
	fetched   int64         // offset after the newest record ever buffered
	refused   bool          // a message was settled with an error
	over      bool          // because of that, hand over no more and rewind
	rest      time.Duration // before the rewind
	waiting   bool          // the pump waits for wake
	committed int64         // -1 while nothing was committed
	noted     uint64        // the tracker's Changes at the last commit
	end       int64         // of the log; -1 while unknown
	progress  time.Time

	wake    chan struct{} // to the pump; holds one
	drained chan struct{} // closed once it ended and nothing is in flight
	pumped  chan struct{} // closed when the pump returned
}

type assignmentState uint8

const (
	live     assignmentState = iota
	draining                 // hands over no more; settling still counts
	closed                   // settling changes nothing
)

// batch is what one fetch brought for one partition, in one allocation.
type batch struct {
	records []record
	next    int // of records, the first not handed over
}

// record is a message with what is needed to settle it; a Message is bound to
// the record that holds it, so that settling costs no search and no closure.
type record struct {
	connector.Message
	a       *assignment
	number  uint64
	size    int64
	epoch   int32
	control bool // a transaction marker: moves the position, is no message
}

// Settled is called by Message.Settle.
func (r *record) Settled(_ *connector.Message, err error) { r.a.settled(r, err) }

func newAssignment(run *session, p *partition, pos position, prev *assignment) *assignment {
	ctx, cancel := context.WithCancelCause(run.base)
	tracker := settle.New(pos.offset)
	tracker.Remember(pos.done)
	return &assignment{
		part: p, run: run, member: p.member, ctx: ctx, cancel: cancel, prev: prev,
		tracker: tracker, fetched: pos.offset, committed: pos.committed,
		end: pos.end, progress: time.Now(),
		wake: make(chan struct{}, 1), drained: make(chan struct{}), pumped: make(chan struct{}),
	}
}

// settled is the end of one message.
func (a *assignment) settled(r *record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == closed {
		a.tracker.Settle(r.number, false) // no longer in flight, and no more than that
		a.checkDrained()
		return
	}
	if a.tracker.Settle(r.number, err == nil) {
		a.progress = time.Now()
	}
	if err != nil && a.state == live && !a.refused {
		a.refuse(r.Position.Offset)
	}
	if a.waiting {
		a.signal()
	}
	a.checkDrained()
}

// push appends what a fetch brought. Records below what was buffered before
// are dropped: order and tracker rest on rising offsets.
func (a *assignment) push(b batch) {
	for len(b.records) > 0 && b.records[0].Position.Offset < a.position() {
		b.records = b.records[1:]
	}
	if len(b.records) == 0 {
		return
	}
	var bytes int64
	for i := range b.records {
		bytes += b.records[i].size
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != live {
		return
	}
	a.buffer = append(a.buffer, b)
	a.buffered += bytes
	a.fetched = b.records[len(b.records)-1].Position.Offset + 1
	if a.run.tooMuch(a.run.buffered.Add(bytes), a.buffered) {
		a.part.hold(holdFull)
	}
	if a.waiting {
		a.signal()
	}
}

// position is the offset after the newest record fetched.
func (a *assignment) position() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetched
}

// pump hands messages over, one after the other, until the assignment ends.
// It is the assignment's own goroutine: a handler that blocks holds up this
// partition and no other.
func (a *assignment) pump(handle connector.Handler) {
	defer close(a.pumped)
	if a.prev != nil {
		wait(a.ctx, a.run.drain, a.prev.drained)
		a.prev = nil
	}
	for {
		r, ok := a.next()
		if !ok {
			break
		}
		if r != nil {
			handle(a.ctx, &r.Message)
			continue
		}
		select {
		case <-a.wake:
		case <-a.ctx.Done():
			return
		}
	}
	a.rewind()
}

// next is the message to hand over, nil when there is none yet, or false when
// this assignment hands over no more.
func (a *assignment) next() (*record, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		a.waiting = false
		if a.state != live || a.over {
			return nil, false
		}
		if len(a.buffer) == 0 || a.tracker.Ahead() >= a.run.window {
			a.waiting = true
			return nil, true
		}
		r := a.take()
		if r.control || a.tracker.Remembered(r.Position.Offset, r.epoch) {
			if a.tracker.Skip(r.Position.Offset, r.epoch) {
				a.progress = time.Now()
			}
			continue
		}
		r.number, _ = a.tracker.HandOver(r.Position.Offset, r.epoch)
		return r, true
	}
}

// take removes the oldest record from the buffer, and lets fetching go on when
// the buffer ran low.
func (a *assignment) take() *record {
	b := &a.buffer[0]
	r := &b.records[b.next]
	b.next++
	if b.next == len(b.records) {
		a.buffer[0] = batch{}
		a.buffer = a.buffer[1:]
	}
	a.buffered -= r.size
	if a.run.lowEnough(a.run.buffered.Add(-r.size), a.buffered) {
		a.part.release(holdFull)
	}
	return r
}

// finish ends the assignment: no message is handed over any more, the buffer
// is dropped, the context ends. What is in flight can still be settled, until
// close. A second call changes nothing.
func (a *assignment) finish(cause error) {
	a.mu.Lock()
	if a.state == live {
		a.state = draining
		a.run.buffered.Add(-a.buffered)
		a.buffer, a.buffered = nil, 0
	}
	a.checkDrained()
	a.mu.Unlock()
	a.cancel(cause)
}

// close makes an end of it: from here on settling changes nothing, and nothing
// of this assignment is committed.
func (a *assignment) close(cause error) {
	a.finish(cause)
	a.mu.Lock()
	a.state = closed
	a.checkDrained()
	a.mu.Unlock()
}

// checkDrained needs mu.
func (a *assignment) checkDrained() {
	if a.state == live || a.tracker.InFlight() > 0 {
		return
	}
	select {
	case <-a.drained:
	default:
		close(a.drained)
	}
}

// signal needs mu.
func (a *assignment) signal() {
	a.waiting = false
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// toCommit is what to commit, and whether there is anything new in it: a
// watermark that moved or, with ahead, more that is done beyond it.
func (a *assignment) toCommit(ahead bool) (mark, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := mark{EpochOffset: kgo.EpochOffset{Offset: a.tracker.Watermark(), Epoch: a.tracker.Epoch()}, changes: a.tracker.Changes()}
	if a.state == closed || m.Offset <= a.committed && (!ahead || m.changes == a.noted) {
		return m, false
	}
	if ahead {
		m.done = a.tracker.DoneAhead(maxRuns)
	}
	return m, true
}

// open reports whether the assignment may still commit as that member.
func (a *assignment) open(member string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state != closed && a.member == member
}

func (a *assignment) noteCommitted(m mark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed, a.noted = max(a.committed, m.Offset), m.changes
}

// forget takes back what is known to be done beyond the watermark, once the log
// turns out not to be what it was. The next commit says so.
func (a *assignment) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tracker.Forget()
}

func (a *assignment) noteEnd(end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end = max(a.end, end)
	if a.tracker.Watermark() >= a.end {
		a.progress = time.Now()
	}
}

// status is how the partition stands.
func (a *assignment) status() connector.PartitionStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := connector.PartitionStatus{
		Topic: a.part.topic, Partition: a.part.partition, Committed: a.committed,
		End: a.end, Lag: -1, InFlight: a.tracker.InFlight(), Progress: a.progress,
	}
	if a.end >= 0 {
		st.Lag = max(0, a.end-a.tracker.Watermark())
	}
	return st
}

// wait waits for done, for ctx, or for a time.
func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-t.C:
	}
}
