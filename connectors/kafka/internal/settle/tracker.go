// Package settle tracks which records of one partition were settled, how far an
// offset may be committed, and what is done beyond it. It knows nothing of Kafka,
// time or locks.
package settle

// Tracker follows the records of one assignment of one partition, in the order
// in which they are handed over. Its watermark is the offset of the oldest
// record that is not settled: everything below it is done with, and nothing at
// or above it may be committed. A Tracker is not safe for concurrent use.
//
// Offsets may have gaps (compaction, transaction markers, aborted records).
// What is not in the tracker does not hold the watermark.
type Tracker struct {
	// ring holds the records from head up to tail, each at its number modulo
	// the length, which is a power of two.
	ring       []entry
	head, tail uint64
	inFlight   int
	// next is the offset after the newest record; the watermark when nothing
	// is outstanding.
	next int64
	// epoch is the leader epoch of the newest record below the watermark.
	epoch int32
	// remembered is what an earlier tracker knew to be done, less what lies
	// below the record that was asked for last.
	remembered []Run
	// claims is the first number that DoneAhead looks at.
	claims  uint64
	changes uint64
}

type entry struct {
	offset int64
	epoch  int32
	state  state
}

type state uint8

const (
	pending state = iota
	done
	refused
)

// New is a tracker for a partition read from offset start on.
func New(start int64) *Tracker {
	return &Tracker{ring: make([]entry, 16), next: start, epoch: -1}
}

// HandOver notes the next record and returns the number by which Settle knows
// it. Offsets must rise: HandOver reports false, and changes nothing, for one
// below Next.
func (t *Tracker) HandOver(offset int64, epoch int32) (number uint64, ok bool) {
	if offset < t.next {
		return 0, false
	}
	if int(t.tail-t.head) == len(t.ring) {
		t.grow()
	}
	number = t.tail
	*t.at(number) = entry{offset: offset, epoch: epoch}
	t.tail++
	t.inFlight++
	t.next = offset + 1
	return number, true
}

// Skip notes a record that needs no settling, such as a transaction marker.
// It reports false, and changes nothing, for an offset below Next.
func (t *Tracker) Skip(offset int64, epoch int32) bool {
	number, ok := t.HandOver(offset, epoch)
	if ok {
		t.Settle(number, true)
	}
	return ok
}

// Settle ends the record with that number: ok means done with; otherwise it
// holds the watermark for good. The first call counts. It reports whether the
// watermark moved.
func (t *Tracker) Settle(number uint64, ok bool) (moved bool) {
	if number < t.head || number >= t.tail {
		return false
	}
	e := t.at(number)
	if e.state != pending {
		return false
	}
	t.inFlight--
	if !ok {
		e.state = refused
		return false
	}
	e.state = done
	t.changes++
	for t.head < t.tail && t.at(t.head).state == done {
		t.epoch = t.at(t.head).epoch
		t.head++
		moved = true
	}
	return moved
}

// Watermark is the offset of the oldest record that is not settled, or Next
// when there is none.
func (t *Tracker) Watermark() int64 {
	if t.head == t.tail {
		return t.next
	}
	return t.at(t.head).offset
}

// Epoch is the leader epoch of the newest record below the watermark, or -1.
func (t *Tracker) Epoch() int32 { return t.epoch }

// Next is the offset after the newest record handed over.
func (t *Tracker) Next() int64 { return t.next }

// Ahead is how many records stand between the watermark and the newest one.
func (t *Tracker) Ahead() int { return int(t.tail - t.head) }

// InFlight is how many records were handed over and not settled.
func (t *Tracker) InFlight() int { return t.inFlight }

// Remember is told, before the first record, what is done from New's start on:
// the runs that another tracker gave, in order. The tracker keeps the slice.
func (t *Tracker) Remember(runs []Run) { t.remembered = runs }

// Remembered reports whether the next record, not handed over yet, is known to
// be done. It is asked with rising offsets.
func (t *Tracker) Remembered(offset int64, epoch int32) bool {
	for len(t.remembered) > 0 && t.remembered[0].To <= offset {
		t.remembered = t.remembered[1:]
	}
	return len(t.remembered) > 0 && t.remembered[0].From <= offset && t.remembered[0].Epoch == epoch
}

// Forget drops what is remembered, and DoneAhead tells no more of the records
// handed over so far: the log may not be what it was.
func (t *Tracker) Forget() {
	t.remembered, t.claims = nil, t.tail
	t.changes++
}

// Changes differs whenever Watermark or DoneAhead may.
func (t *Tracker) Changes() uint64 { return t.changes }

// DoneAhead is what is done beyond the watermark, in order, the first most runs
// of it. Records without a leader epoch are left out: nothing would tell that
// others had taken their place.
func (t *Tracker) DoneAhead(most int) []Run {
	var runs []Run
	first := max(t.head, t.claims)
	for n := first; n < t.tail && len(runs) <= most; n++ {
		e := t.at(n)
		if e.state != done || e.epoch < 0 {
			continue
		}
		// No record stands between two that were handed over one after the other.
		if n > first && t.at(n-1).state == done && t.at(n-1).epoch == e.epoch {
			runs[len(runs)-1].To = e.offset + 1
			continue
		}
		runs = append(runs, Run{e.offset, e.offset + 1, e.epoch})
	}
	for _, r := range t.remembered {
		if r.From = max(r.From, t.next); r.From < r.To {
			runs = append(runs, r)
		}
	}
	return runs[:min(len(runs), most)]
}

func (t *Tracker) at(number uint64) *entry {
	return &t.ring[number&uint64(len(t.ring)-1)]
}

func (t *Tracker) grow() {
	ring := make([]entry, 2*len(t.ring))
	for n := t.head; n < t.tail; n++ {
		ring[n&uint64(len(ring)-1)] = *t.at(n)
	}
	t.ring = ring
}
