package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Options are the common properties of the events of a ledger.
type Options struct {
	Topic      string
	Partitions int
	// Size returns the approximate size of record n in bytes.
	Size func(n int) int
}

// Ledger records what happens in one run. It is safe for concurrent use.
type Ledger struct {
	opts  Options
	begun time.Time

	mu          sync.Mutex
	events      []event
	partitions  []partitionState
	newest      map[int]int // key → newest event that was first delivered
	undelivered int         // number of events that should be delivered and are not yet
	crashes     map[int]Crash
	outages     []outage
	duplicates  []duplicate
	deadLetters int // number of distinct events with a dead letter
	faults      Verdict
}

// event is what happened to one event. Times are relative to the start of the ledger.
type event struct {
	offset    int64 // -1: not known yet
	at        time.Duration
	key       int32
	process   int32 // process that delivered it first
	partition int16
	delivered uint16 // number of deliveries
	kind      Kind
	accepted  bool
}

// partitionState is the records of one partition.
type partitionState struct {
	events      []int32            // n+1 of the event at an offset; 0: not known yet
	committed   int64              // -1: no commit
	latest      time.Time          // time of the latest first delivery of an event
	unverified  []unverifiedCommit // committed records that were not delivered when the commit was seen
	deadLetters map[int64][]deadLetter
}

type unverifiedCommit struct {
	offset      int64
	deadLetters int64 // end of the dead letter topic when the commit was seen
}

type deadLetter struct {
	at    int64 // offset in the dead letter topic
	code  string
	value []byte
}

type duplicate struct{ n, process int }

// outage is a time in which nothing could be committed.
type outage struct{ from, to time.Duration }

// Crash is the end of a process without a clean stop, or a pause longer than the session timeout
// of its group.
type Crash struct {
	At time.Time
	// InFlight is how many events the process may have had in flight.
	InFlight int
	// Uncommitted is how long before At the process may have settled events without committing
	// them.
	Uncommitted time.Duration
}

// New returns an empty ledger.
func New(o Options) *Ledger {
	l := &Ledger{opts: o, begun: time.Now(), partitions: make([]partitionState, o.Partitions), newest: map[int]int{}, crashes: map[int]Crash{}}
	for i := range l.partitions {
		l.partitions[i] = partitionState{committed: -1, deadLetters: map[int64][]deadLetter{}}
	}
	return l
}

// Sent records an event that is about to be written, and returns its number and its record value.
func (l *Ledger) Sent(key, partition int, kind Kind) (n int, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = len(l.events)
	l.events = append(l.events, event{offset: -1, key: int32(key), partition: int16(partition), kind: kind})
	if kind == Plain || kind == Flaky {
		l.undelivered++
	}
	return n, Value(n, key, kind, l.opts.Size(n))
}

// Accepted records that the broker has stored event n.
func (l *Ledger) Accepted(n int, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[n].accepted = true
	l.faults.Accepted++
	l.recordPosition(n, int(l.events[n].partition), offset)
}

// recordPosition records the position of event n. It is a fault if two sources disagree: the broker, and
// the id of each delivery.
func (l *Ledger) recordPosition(n, partition int, offset int64) {
	e := &l.events[n]
	p := &l.partitions[e.partition]
	for int64(len(p.events)) <= offset {
		p.events = append(p.events, 0)
	}
	known := p.events[offset]
	if int(e.partition) != partition || e.offset >= 0 && e.offset != offset || known != 0 && known != int32(n+1) {
		l.fault(&l.faults.WrongID, "event %d of partition %d at offset %d arrived as %d-%d", n, e.partition, e.offset, partition, offset)
		return
	}
	e.offset, p.events[offset] = offset, int32(n+1)
}

// Delivered records that the sink accepts an event from a process. key is its Idempotency-Key
// header.
func (l *Ledger) Delivered(a Arrival, key string, process int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := a.Data.N
	if n < 0 || n >= len(l.events) || l.events[n].kind.BecomesDeadLetter() || l.events[n].kind == Filtered {
		l.fault(&l.faults.Unexpected, "%q arrived, number %d", a.ID, n)
		return
	}
	partition, offset, ok := parseID(l.opts.Topic, a.ID)
	if !ok || key != a.ID || partition >= len(l.partitions) {
		l.fault(&l.faults.WrongID, "event %d arrived as %q, with the Idempotency-Key %q", n, a.ID, key)
		return
	}
	l.recordPosition(n, partition, offset)
	e := &l.events[n]
	if e.delivered++; e.delivered > 1 {
		l.duplicates = append(l.duplicates, duplicate{n, process})
		return
	}
	e.at, e.process = time.Since(l.begun), int32(process)
	l.partitions[partition].latest = time.Now()
	l.undelivered--
	l.faults.Delivered++
	if newest, seen := l.newest[int(e.key)]; seen && newest > n {
		l.fault(&l.faults.OutOfOrder, "event %d of %s arrived after event %d", n, Key(int(e.key)), newest)
		return
	}
	l.newest[int(e.key)] = n
}

// DeadLetter records a dead letter of the record at an offset of a partition. at is its offset in the
// dead letter topic.
func (l *Ledger) DeadLetter(partition int, offset, at int64, code string, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if partition < 0 || partition >= len(l.partitions) {
		l.fault(&l.faults.Unexpected, "a dead letter of partition %d", partition)
		return
	}
	p := &l.partitions[partition]
	if len(p.deadLetters[offset]) == 0 {
		l.deadLetters++
	}
	p.deadLetters[offset] = append(p.deadLetters[offset], deadLetter{at, code, bytes.Clone(value)})
}

// Committed records a committed offset. deadLetters is the end of the dead letter topic at that time.
// Call it from one goroutine.
func (l *Ledger) Committed(partition int, offset, deadLetters int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.partitions[partition]
	l.faults.Commits++
	if offset < p.committed {
		l.fault(&l.faults.BadCommits, "the commit of partition %d went from %d down to %d", partition, p.committed, offset)
		return
	}
	for at := max(0, p.committed); at < offset; at++ {
		if n := l.at(p, at); n < 0 || l.events[n].delivered == 0 {
			p.unverified = append(p.unverified, unverifiedCommit{at, deadLetters})
		}
	}
	p.committed = offset
}

// at returns the event at an offset, or -1 if it is not known.
func (l *Ledger) at(p *partitionState, offset int64) int {
	if offset >= int64(len(p.events)) {
		return -1
	}
	return int(p.events[offset]) - 1
}

// Crashed records that a process may not have committed everything that it settled.
func (l *Ledger) Crashed(process int, c Crash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crashes[process] = c
}

// Outage records a time in which brokers were down. Events that were settled then may be
// uncommitted, and a process that the group removed meanwhile leaves them to another one.
func (l *Ledger) Outage(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outages = append(l.outages, outage{from.Sub(l.begun), to.Sub(l.begun)})
}

// examples is how many faults of a kind are described.
const examples = 3

// fault must be called with mu held.
func (l *Ledger) fault(count *int, format string, args ...any) {
	if *count++; *count <= examples {
		l.faults.Details = append(l.faults.Details, fmt.Sprintf(format, args...))
	}
}

// Undelivered returns how many sent events should be delivered and are not yet.
func (l *Ledger) Undelivered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.undelivered
}

// Count returns how many events were delivered.
func (l *Ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.Delivered
}

// AllDeliveredSince reports whether every partition has delivered an event after t.
func (l *Ledger) AllDeliveredSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.partitions, func(p partitionState) bool { return !p.latest.After(t) })
}

// HasCommits reports whether commits up to these offsets were recorded.
func (l *Ledger) HasCommits(commits map[int32]int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for partition, offset := range commits {
		if l.partitions[partition].committed < offset {
			return false
		}
	}
	return true
}

// Len returns how many events were sent.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// Unsettled returns, by partition, how many accepted events from number n on are neither delivered
// nor dead letters. Filtered events do not count.
func (l *Ledger) Unsettled(n int) map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := map[int]int{}
	for i := n; i < len(l.events); i++ {
		e := &l.events[i]
		p := &l.partitions[e.partition]
		if e.accepted && e.kind != Filtered && e.delivered == 0 && (!e.kind.BecomesDeadLetter() || len(p.deadLetters[e.offset]) == 0) {
			left[int(e.partition)]++
		}
	}
	return left
}
