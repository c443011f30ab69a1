package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Options are what the events of a ledger have in common.
type Options struct {
	Topic      string
	Partitions int
	// Size is about how large record n is, in bytes.
	Size func(n int) int
}

// Ledger holds the history of one run. It is safe for concurrent use.
type Ledger struct {
	opts  Options
	begun time.Time

	mu      sync.Mutex
	events  []event
	places  []places
	newest  map[int]int // key → the newest event first delivered
	open    int         // sent, to be delivered, and not delivered yet
	crashes map[int]Crash
	outages []outage
	copies  []duplicate
	letters int // distinct events that have one
	faults  Verdict
}

// event is what became of one event. Times count from the begin of the ledger.
type event struct {
	offset    int64 // -1 until it is known
	at        time.Duration
	key       int32
	by        int32 // who delivered it first
	partition int16
	delivered uint16 // copies
	kind      Kind
	accepted  bool
}

// places are the records of one partition.
type places struct {
	events    []int32   // n+1 of the event at an offset; 0: not known yet
	committed int64     // -1: nothing was
	latest    time.Time // when one of its events was last delivered first
	doubtful  []doubt   // records under a commit that were not delivered when it was seen
	letters   map[int64][]letter
}

type doubt struct {
	offset  int64
	letters int64 // end of the dead letter topic when the commit was seen
}

type letter struct {
	at    int64 // in the dead letter topic
	code  string
	value []byte
}

type duplicate struct{ n, by int }

// outage is a time in which nothing could be committed.
type outage struct{ from, to time.Duration }

// Crash is the end without a goodbye of a process that delivered, or its
// absence for longer than its group waits.
type Crash struct {
	At time.Time
	// InFlight is how many events it may have had in flight.
	InFlight int
	// Uncommitted is for how long before At what it settled need not have been
	// committed.
	Uncommitted time.Duration
}

// New is an empty ledger.
func New(o Options) *Ledger {
	l := &Ledger{opts: o, begun: time.Now(), places: make([]places, o.Partitions), newest: map[int]int{}, crashes: map[int]Crash{}}
	for i := range l.places {
		l.places[i] = places{committed: -1, letters: map[int64][]letter{}}
	}
	return l
}

// Sent notes an event that is about to be written, and returns its number and
// its record.
func (l *Ledger) Sent(key, partition int, kind Kind) (n int, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = len(l.events)
	l.events = append(l.events, event{offset: -1, key: int32(key), partition: int16(partition), kind: kind})
	if kind == Plain || kind == Flaky {
		l.open++
	}
	return n, Value(n, key, kind, l.opts.Size(n))
}

// Accepted notes that the broker has stored event n.
func (l *Ledger) Accepted(n int, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[n].accepted = true
	l.faults.Accepted++
	l.stands(n, int(l.events[n].partition), offset)
}

// stands notes where event n stands, and sees when two sources disagree: the
// broker, and the identity of each copy.
func (l *Ledger) stands(n, partition int, offset int64) {
	e := &l.events[n]
	p := &l.places[e.partition]
	for int64(len(p.events)) <= offset {
		p.events = append(p.events, 0)
	}
	known := p.events[offset]
	if int(e.partition) != partition || e.offset >= 0 && e.offset != offset || known != 0 && known != int32(n+1) {
		l.fault(&l.faults.WrongID, "event %d of partition %d at offset %d came as %d-%d", n, e.partition, e.offset, partition, offset)
		return
	}
	e.offset, p.events[offset] = offset, int32(n+1)
}

// Delivered notes that the sink accepts an event now, from the process by,
// whose Idempotency-Key header is key.
func (l *Ledger) Delivered(a Arrival, key string, by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := a.Data.N
	if n < 0 || n >= len(l.events) || l.events[n].kind.Letter() || l.events[n].kind == Filtered {
		l.fault(&l.faults.Alien, "%q came, number %d", a.ID, n)
		return
	}
	partition, offset, ok := place(l.opts.Topic, a.ID)
	if !ok || key != a.ID || partition >= len(l.places) {
		l.fault(&l.faults.WrongID, "event %d came as %q, with %q as its Idempotency-Key", n, a.ID, key)
		return
	}
	l.stands(n, partition, offset)
	e := &l.events[n]
	if e.delivered++; e.delivered > 1 {
		l.copies = append(l.copies, duplicate{n, by})
		return
	}
	e.at, e.by = time.Since(l.begun), int32(by)
	l.places[partition].latest = time.Now()
	l.open--
	l.faults.Delivered++
	if newest, seen := l.newest[int(e.key)]; seen && newest > n {
		l.fault(&l.faults.OutOfOrder, "event %d of %s came after event %d", n, Key(int(e.key)), newest)
		return
	}
	l.newest[int(e.key)] = n
}

// Letter notes a dead letter of the record at an offset of a partition, which
// stands at its own offset in the dead letter topic.
func (l *Ledger) Letter(partition int, offset, at int64, code string, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if partition < 0 || partition >= len(l.places) {
		l.fault(&l.faults.Alien, "a dead letter of partition %d", partition)
		return
	}
	p := &l.places[partition]
	if len(p.letters[offset]) == 0 {
		l.letters++
	}
	p.letters[offset] = append(p.letters[offset], letter{at, code, bytes.Clone(value)})
}

// Committed notes that offset was found to be committed, when the dead letter
// topic ended at letters. Call it from one goroutine.
func (l *Ledger) Committed(partition int, offset, letters int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.places[partition]
	l.faults.Commits++
	if offset < p.committed {
		l.fault(&l.faults.BadCommits, "the commit of partition %d went from %d down to %d", partition, p.committed, offset)
		return
	}
	for at := max(0, p.committed); at < offset; at++ {
		if n := l.at(p, at); n < 0 || l.events[n].delivered == 0 {
			p.doubtful = append(p.doubtful, doubt{at, letters})
		}
	}
	p.committed = offset
}

// at is the event at an offset, or -1 when it is not known.
func (l *Ledger) at(p *places, offset int64) int {
	if offset >= int64(len(p.events)) {
		return -1
	}
	return int(p.events[offset]) - 1
}

// Crashed notes that the process by may not have told all that it did.
func (l *Ledger) Crashed(by int, c Crash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crashes[by] = c
}

// Outage notes that from one time to the other brokers were away, so that what
// was settled need not have been committed, and a process that the group gave up
// meanwhile, though it lived, leaves that to another.
func (l *Ledger) Outage(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outages = append(l.outages, outage{from.Sub(l.begun), to.Sub(l.begun)})
}

// examples is how many faults of a kind are told in words.
const examples = 3

// fault needs mu.
func (l *Ledger) fault(count *int, format string, args ...any) {
	if *count++; *count <= examples {
		l.faults.Words = append(l.faults.Words, fmt.Sprintf(format, args...))
	}
}

// Open is how many events were sent, should be delivered, and were not yet.
func (l *Ledger) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Count is how many events were delivered.
func (l *Ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.Delivered
}

// Since reports whether every partition has delivered an event after t.
func (l *Ledger) Since(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.places, func(p places) bool { return !p.latest.After(t) })
}

// Reached reports whether commits as far as these were noted.
func (l *Ledger) Reached(commits map[int32]int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for partition, offset := range commits {
		if l.places[partition].committed < offset {
			return false
		}
	}
	return true
}

// Len is how many events were sent.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// Unsettled is how many of the accepted events from number n on have neither
// been delivered nor become dead letters, by partition. Filtered ones do not
// count.
func (l *Ledger) Unsettled(n int) map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := map[int]int{}
	for i := n; i < len(l.events); i++ {
		e := &l.events[i]
		p := &l.places[e.partition]
		if e.accepted && e.kind != Filtered && e.delivered == 0 && (!e.kind.Letter() || len(p.letters[e.offset]) == 0) {
			left[int(e.partition)]++
		}
	}
	return left
}
