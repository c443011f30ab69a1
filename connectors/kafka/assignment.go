package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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

// assignment reads one partition from a position until the partition is revoked, lost
// or rewound. After it was closed it commits nothing.
type assignment struct {
	part     *partition
	member   string // of the group, when the assignment began
	ctx      context.Context
	cancel   context.CancelCauseFunc
	contract *connector.Assignment // what handlers know it by
	session  *session

	mu    sync.Mutex
	state assignmentState
	// prev held the same partition before; nothing is handed over while its
	// messages are in flight, so that two of one key are never side by side.
	// nil once that is over, or was waited for long enough.
	prev *assignment
	// doneAfterClose is what was done after the assignment was closed, in any order, also
	// by those before: the next one need not do it again.
	doneAfterClose []settle.Run
	logChanged     bool // the log may not be what it was
	tracker        *settle.Tracker
	// buffer holds what was fetched and not yet handed over, oldest first.
	buffer           []batch
	buffered         int64         // bytes in buffer
	full             bool          // that is enough, and fetching waits for room
	lastBuffered     int64         // buffered at the last look, while full
	fetched          int64         // offset after the newest record ever buffered
	refused          bool          // a message was settled with an error
	rewinding        bool          // because of that, hand over no more and rewind
	rewindDelay      time.Duration // before the rewind
	waitsFor         waitReason    // what the pump waits for, on wake
	committed        int64         // -1 while nothing was committed
	committedChanges uint64        // the tracker's Changes at the last commit
	end              int64         // of the log; -1 while unknown
	progress         time.Time     // as of the last look
	watermarkMoved   bool          // the watermark did, since then

	wake    chan struct{} // to the pump; holds one
	drained chan struct{} // closed once it ended and nothing is in flight, of it or of those before
}

type assignmentState uint8

const (
	live     assignmentState = iota
	draining                 // hands over no more; settling still counts
	closed                   // settling changes nothing
)

// waitReason is what a pump waits for.
type waitReason uint8

const (
	waitNone    waitReason = iota
	waitRecords            // the buffer is empty
	waitWindow             // the window is full
	waitIdle               // something is in flight
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
		part: p, session: run, member: p.member, ctx: ctx, cancel: cancel, prev: prev,
		contract: connector.NewAssignment(ctx, fmt.Sprintf("%s-%d", p.topic, p.partition)),
		tracker:  tracker, fetched: pos.offset, committed: pos.committed,
		end: pos.end, progress: time.Now(),
		wake: make(chan struct{}, 1), drained: make(chan struct{}),
	}
}

// SettledBatch is called by connector.SettleAll.
func (r *record) SettledBatch(ms []*connector.Message, err error) {
	for len(ms) > 0 {
		a := ms[0].Settler().(*record).a //nolint:forcetypeassert // a source's messages are bound to its records
		ms = ms[a.settledBatch(ms, err):]
	}
}

// settled ends one message.
func (a *assignment) settled(r *record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(r, err)
	a.afterSettled()
}

// settledBatch ends the messages at the front that belong to a, and returns their
// number.
func (a *assignment) settledBatch(ms []*connector.Message, err error) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for ; n < len(ms); n++ {
		r := ms[n].Settler().(*record) //nolint:forcetypeassert // see SettledBatch
		if r.a != a {
			break
		}
		a.settle(r, err)
	}
	a.afterSettled()
	return n
}

// settle needs mu, as does afterSettled, which follows once all are settled.
func (a *assignment) settle(r *record, err error) {
	if r.size > largeRecord {
		a.session.large.Add(-r.size)
		a.session.wakePoller()
	}
	if a.state == closed {
		a.tracker.Settle(r.number, false) // no longer in flight
		if err == nil && r.epoch >= 0 && !a.logChanged {
			a.doneAfterClose = append(a.doneAfterClose, settle.Run{From: r.Position.Offset, To: r.Position.Offset + 1, Epoch: r.epoch})
		}
		return
	}
	if a.tracker.Settle(r.number, err == nil) {
		a.watermarkMoved = true
	}
	if err != nil && a.state == live && !a.refused {
		a.refuse(r.Position.Offset)
	}
}

func (a *assignment) afterSettled() {
	wake := false
	switch a.waitsFor {
	case waitRecords:
		wake = a.rewinding
	case waitWindow:
		// Not for each message: a pump that is woken for one hands over one.
		wake = a.rewinding || a.tracker.Ahead() <= a.session.window-a.session.window/16
	case waitIdle:
		wake = a.tracker.InFlight() == 0
	}
	if wake {
		a.signal()
	}
	a.checkDrained()
}

// noteProgress needs mu. It is called when the progress is read, at least by the
// commit loop, and not for each message.
func (a *assignment) noteProgress() {
	if a.watermarkMoved {
		a.progress, a.watermarkMoved = time.Now(), false
	}
}

// appendBatch appends what a fetch brought. Records below what was buffered before
// are dropped: order and tracker rest on rising offsets.
func (a *assignment) appendBatch(b batch) {
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
	if a.session.bufferFull(a.session.buffered.Add(bytes), a.buffered) {
		a.markFull()
	}
	if a.waitsFor == waitRecords {
		a.signal()
	}
}

// position is the offset after the newest record fetched.
func (a *assignment) position() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetched
}

// largeRecord is the size beyond which a record in flight counts against the
// room for unpacking: its batch is large too.
const largeRecord = ordinaryBatch

// Bounds of one call of the handler. More saves nothing, and the source cannot take
// back what is handed over.
const (
	maxHandlerMessages = 256
	maxHandlerBytes    = 1 << 20
)

// pump hands messages over until the assignment ends. It is the assignment's
// own goroutine: a handler that blocks holds up this partition and no other.
func (a *assignment) pump(handle connector.Handler) {
	a.awaitPrev()
	var ms []*connector.Message
	for {
		var ok bool
		if ms, ok = a.next(ms[:0]); !ok {
			break
		}
		if len(ms) > 0 {
			handle(a.contract, ms)
			clear(ms) // else a partition at rest keeps the last records in memory
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

// awaitPrev waits for the messages in flight of the previous assignment, at most for
// the drain timeout, and takes over which of them are done. The end of this
// assignment does not end the wait: the next one would find nothing in flight here,
// and hand over records beside the previous one.
func (a *assignment) awaitPrev() {
	if a.prev == nil {
		return
	}
	wait(a.session.base, a.session.drain, a.prev.drained)
	late := a.prev.mergedDoneAfterClose()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prev = nil
	late = slices.DeleteFunc(late, func(r settle.Run) bool { return r.To <= a.tracker.Watermark() })
	if !a.logChanged && len(late) > 0 {
		a.tracker.Remember(settle.Merge(a.tracker.DoneAhead(math.MaxInt), late))
		a.doneAfterClose = append(a.doneAfterClose, late...)
	}
	a.checkDrained()
}

// mergedDoneAfterClose is what was done after the assignment was closed, in order.
func (a *assignment) mergedDoneAfterClose() []settle.Run {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []settle.Run
	for _, r := range a.doneAfterClose {
		all = settle.Merge(all, []settle.Run{r})
	}
	return all
}

// next appends the messages to hand over to ms, none when there is none yet, or
// returns false when this assignment hands over no more.
func (a *assignment) next(ms []*connector.Message) ([]*connector.Message, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waitsFor = waitNone
	if a.state != live || a.rewinding {
		return nil, false
	}
	var taken, bytes int64
	for len(ms) < maxHandlerMessages && bytes < maxHandlerBytes && len(a.buffer) > 0 && a.tracker.Ahead() < a.session.window {
		r := a.popRecord()
		taken += r.size
		if r.control || a.tracker.Remembered(r.Position.Offset, r.epoch) {
			if a.tracker.Skip(r.Position.Offset, r.epoch) {
				a.watermarkMoved = true
			}
			continue
		}
		r.number, _ = a.tracker.HandOver(r.Position.Offset, r.epoch)
		if r.size > largeRecord {
			a.session.large.Add(r.size)
		}
		ms = append(ms, &r.Message)
		bytes += r.size
	}
	a.releaseBuffered(taken)
	switch {
	case len(ms) > 0:
	case len(a.buffer) == 0:
		a.waitsFor = waitRecords
	default:
		a.waitsFor = waitWindow
	}
	return ms, true
}

// popRecord removes the oldest record from the buffer; taken follows.
func (a *assignment) popRecord() *record {
	b := &a.buffer[0]
	r := &b.records[b.next]
	b.next++
	if b.next == len(b.records) {
		a.buffer[0] = batch{}
		a.buffer = a.buffer[1:]
	}
	return r
}

// releaseBuffered counts bytes that left the buffer, and lets fetching go on when it ran
// low.
func (a *assignment) releaseBuffered(bytes int64) {
	if bytes == 0 {
		return
	}
	a.buffered -= bytes
	total := a.session.buffered.Add(-bytes)
	a.session.wakePoller()
	if a.session.bufferLow(total, a.buffered) {
		a.unmarkFull()
		a.part.release(holdFull)
	} else if !a.session.bufferFull(total, a.buffered) {
		a.unmarkFull()
	}
}

// finish ends the assignment: it hands over no more messages, drops its buffer and
// ends its context. Messages in flight can be settled until close. A second call
// changes nothing.
func (a *assignment) finish(cause error) {
	a.mu.Lock()
	if a.state == live {
		a.state = draining
		a.session.buffered.Add(-a.buffered)
		a.session.wakePoller()
		a.buffer, a.buffered = nil, 0
		a.unmarkFull()
	}
	a.checkDrained()
	a.mu.Unlock()
	a.cancel(cause)
}

// close closes the assignment: from now on settling changes nothing, and nothing is
// committed.
func (a *assignment) close(cause error) {
	a.finish(cause)
	a.mu.Lock()
	a.state = closed
	a.checkDrained()
	a.mu.Unlock()
}

// checkDrained needs mu.
func (a *assignment) checkDrained() {
	if a.state == live || a.prev != nil || a.tracker.InFlight() > 0 {
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
	a.waitsFor = waitNone
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// toCommit is what to commit, and whether there is anything new in it: a
// watermark that moved or, with ahead, more that is done beyond it.
func (a *assignment) toCommit(ahead bool) (commitMark, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteProgress()
	m := commitMark{EpochOffset: kgo.EpochOffset{Offset: a.tracker.Watermark(), Epoch: a.tracker.Epoch()}, changes: a.tracker.Changes()}
	if a.state == closed || m.Offset <= a.committed && (!ahead || m.changes == a.committedChanges) {
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

func (a *assignment) noteCommitted(m commitMark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed, a.committedChanges = max(a.committed, m.Offset), m.changes
}

// forget drops what is done beyond the watermark, because the log was changed. The
// next commit says so.
func (a *assignment) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tracker.Forget()
	a.doneAfterClose, a.logChanged = nil, true
}

func (a *assignment) noteEnd(end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end = max(a.end, end)
	a.noteProgress()
	if a.tracker.Watermark() >= a.end {
		a.progress = time.Now()
	}
}

// status is how the partition stands.
func (a *assignment) status() connector.PartitionStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteProgress()
	st := connector.PartitionStatus{
		Stream: a.part.topic, Partition: a.part.partition, Committed: a.committed,
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
