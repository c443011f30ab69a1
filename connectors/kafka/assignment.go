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

// The causes with which the context of an assignment ends; handlers read them by
// context.Cause.
var (
	errRevoked = errors.New("partition taken away by a rebalance")
	errLost    = errors.New("partition lost: the group went on without this member")
	errStopped = errors.New("source stops")
	errRewound = errors.New("partition is read again from an earlier record")
)

// assignment reads one partition from a position until the partition is revoked, lost
// or rewound. After close it commits nothing.
type assignment struct {
	part     *partition
	member   string // id in the group when the assignment began
	ctx      context.Context
	cancel   context.CancelCauseFunc
	contract *connector.Assignment // passed to the handler
	session  *session

	mu    sync.Mutex
	state assignmentState
	// prev is the previous assignment of this partition. Nothing is handed over while
	// messages of prev are in flight, so that two messages of one key are never
	// processed at once. nil after prev has drained or the drain timeout has passed.
	prev *assignment
	// doneAfterClose are the records settled with nil after close, in any order,
	// including those of earlier assignments. The next assignment does not hand them
	// over again.
	doneAfterClose []settle.Run
	logChanged     bool // the log may hold other records now
	tracker        *settle.Tracker
	// buffer holds fetched records that are not handed over yet, oldest first.
	buffer           []batch
	buffered         int64         // bytes in buffer
	full             bool          // fetching waits until the buffer shrinks
	lastBuffered     int64         // buffered at the last check, while full
	fetched          int64         // offset after the newest record that was ever buffered
	refused          bool          // a message was settled with an error
	rewinding        bool          // set after refused: hand over no more, and rewind
	rewindDelay      time.Duration // wait before the rewind
	waitsFor         waitReason    // what the pump waits for
	committed        int64         // offset; -1: nothing
	committedChanges uint64        // Changes of the tracker at the last commit
	end              int64         // of the log; -1: unknown
	progress         time.Time     // when the watermark last moved, as of the last check
	watermarkMoved   bool          // the watermark moved since the last check

	wake    chan struct{} // wakes the pump; capacity 1
	drained chan struct{} // closed when this assignment has ended and neither it nor an earlier one has messages in flight
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

// batch holds the records that one fetch returned for one partition, in one allocation.
type batch struct {
	records []record
	next    int // index of the first record that is not handed over
}

// record is a message with the data needed to settle it. A Message is bound to its
// record, so settling needs no lookup and no closure.
type record struct {
	connector.Message
	a       *assignment
	number  uint64
	size    int64
	epoch   int32
	control bool // a transaction marker; moves the position and is not handed over
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

// settled records how one message was settled.
func (a *assignment) settled(r *record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(r, err)
	a.afterSettled()
}

// settledBatch settles the messages at the front of ms that belong to a, and returns
// their number.
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

// settle settles one message. The caller holds mu, and calls afterSettled after the last
// settle.
func (a *assignment) settle(r *record, err error) {
	if r.size > largeRecord {
		a.session.large.Add(-r.size)
		a.session.wakePoller()
	}
	if a.state == closed {
		a.tracker.Settle(r.number, false) // it is no longer in flight
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

// afterSettled wakes the pump if it need not wait any longer. It needs mu.
func (a *assignment) afterSettled() {
	wake := false
	switch a.waitsFor {
	case waitRecords:
		wake = a.rewinding
	case waitWindow:
		// The pump waits for a sixteenth of the window: waking it for each message
		// would hand over one message per call.
		wake = a.rewinding || a.tracker.Ahead() <= a.session.window-a.session.window/16
	case waitIdle:
		wake = a.tracker.InFlight() == 0
	}
	if wake {
		a.signal()
	}
	a.checkDrained()
}

// noteProgress needs mu. It runs when the time of progress is read, at least once per
// commit interval, and not for each message.
func (a *assignment) noteProgress() {
	if a.watermarkMoved {
		a.progress, a.watermarkMoved = time.Now(), false
	}
}

// appendBatch adds fetched records to the buffer. It drops records below the position:
// the tracker needs rising offsets.
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

// largeRecord is the size from which a record in flight counts against the memory for
// unpacking, because its batch is large too.
const largeRecord = ordinaryBatch

// Bounds of one call of the handler. Larger calls are not faster, and the source cannot
// take messages back.
const (
	maxHandlerMessages = 256
	maxHandlerBytes    = 1 << 20
)

// pump hands messages over until the assignment ends. Each assignment has its own pump
// goroutine, so a handler that blocks delays this partition only.
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
			clear(ms) // an idle partition must not keep the last records in memory
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

// awaitPrev waits, at most for the drain timeout, until the messages of prev are
// settled, and remembers which of them are done. It goes on waiting when this
// assignment ends: otherwise the next assignment would see nothing in flight here and
// start while messages of prev are still processed.
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

// mergedDoneAfterClose returns doneAfterClose in order.
func (a *assignment) mergedDoneAfterClose() []settle.Run {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []settle.Run
	for _, r := range a.doneAfterClose {
		all = settle.Merge(all, []settle.Run{r})
	}
	return all
}

// next appends the messages to hand over to ms. It returns false when this assignment
// hands over no more.
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

// popRecord removes the oldest record from the buffer. The caller then calls
// releaseBuffered.
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

// releaseBuffered counts bytes that left the buffer, and resumes fetching when the
// buffer is low.
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
// cancels its context. Messages in flight can be settled until close. A second call
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

// close finishes the assignment. After it, settling moves no watermark and nothing is
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

// toCommit returns what to commit, and whether it is new: the watermark moved or, with
// ahead, more records beyond it are done.
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

// open reports whether the assignment is not closed and began under this member id.
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

// forget drops the records that are done beyond the watermark, because the log may have
// changed. The next commit no longer lists them.
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

// status returns the partition's status.
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

// wait returns when done is closed, ctx ends or d has passed.
func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-t.C:
	}
}
