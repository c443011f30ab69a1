// Package settle tracks, for the Kafka source, which records of one partition are
// settled, which offset may be committed, and which records are done beyond it. It does
// not depend on Kafka, time or locks.
package settle

// Tracker follows the records of one assignment of one partition, in the order in which
// they are handed over. Its watermark is the offset of the oldest unsettled record:
// every record below it is done, and no offset above it may be committed. A Tracker is
// not safe for concurrent use.
//
// Offsets may have gaps (compaction, transaction markers, aborted records). Offsets
// without a record do not hold the watermark.
type Tracker struct {
	// ring holds the records from head up to tail, each at its number modulo the
	// length, which is a power of two.
	ring       []entry
	head, tail uint64
	inFlight   int
	// next is the offset after the newest record. It is the watermark when all records
	// are settled.
	next int64
	// epoch is the leader epoch of the newest record below the watermark.
	epoch int32
	// remembered are the runs that an earlier tracker reported as done, without those
	// below the last offset that was asked for.
	remembered []Run
	// reportFrom is the first number that DoneAhead includes.
	reportFrom uint64
	changes    uint64
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

// New returns a tracker for a partition read from offset start on.
func New(start int64) *Tracker {
	return &Tracker{ring: make([]entry, 16), next: start, epoch: -1}
}

// HandOver adds the next record and returns its number for Settle. Offsets must rise:
// for an offset below Next, HandOver returns false and changes nothing.
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

// Skip adds a record that needs no settling, such as a transaction marker. For an
// offset below Next, it returns false and changes nothing.
func (t *Tracker) Skip(offset int64, epoch int32) bool {
	number, ok := t.HandOver(offset, epoch)
	if ok {
		t.Settle(number, true)
	}
	return ok
}

// Settle ends the record with that number. With ok the record is done; without, it
// holds the watermark for good. Only the first call for a number counts. It reports
// whether the watermark moved.
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

// Watermark returns the offset of the oldest unsettled record, or Next when there is
// none.
func (t *Tracker) Watermark() int64 {
	if t.head == t.tail {
		return t.next
	}
	return t.at(t.head).offset
}

// Epoch returns the leader epoch of the newest record below the watermark, or -1.
func (t *Tracker) Epoch() int32 { return t.epoch }

// Next returns the offset after the newest record handed over.
func (t *Tracker) Next() int64 { return t.next }

// Ahead returns how many records there are from the watermark to the newest one.
func (t *Tracker) Ahead() int { return int(t.tail - t.head) }

// InFlight returns how many records were handed over and not settled.
func (t *Tracker) InFlight() int { return t.inFlight }

// Remember sets the runs that are done beyond New's start, in order, as DoneAhead of an
// earlier tracker returned them. The tracker keeps the slice.
func (t *Tracker) Remember(runs []Run) { t.remembered = runs }

// Remembered reports whether the next record, not handed over yet, is in the remembered
// runs. Offsets must rise from call to call.
func (t *Tracker) Remembered(offset int64, epoch int32) bool {
	for len(t.remembered) > 0 && t.remembered[0].To <= offset {
		t.remembered = t.remembered[1:]
	}
	return len(t.remembered) > 0 && t.remembered[0].From <= offset && t.remembered[0].Epoch == epoch
}

// Forget drops the remembered runs, and excludes the records handed over so far from
// DoneAhead: the log may have changed.
func (t *Tracker) Forget() {
	t.remembered, t.reportFrom = nil, t.tail
	t.changes++
}

// Changes returns a number that changes whenever Watermark or DoneAhead may change.
func (t *Tracker) Changes() uint64 { return t.changes }

// DoneAhead returns the first most runs that are done beyond the watermark, in order.
// It leaves out records without a leader epoch: nothing would show that other records
// have taken their place.
func (t *Tracker) DoneAhead(most int) []Run {
	var runs []Run
	first := max(t.head, t.reportFrom)
	for n := first; n < t.tail && len(runs) <= most; n++ {
		e := t.at(n)
		if e.state != done || e.epoch < 0 {
			continue
		}
		// Records handed over one after the other have no record between them.
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
