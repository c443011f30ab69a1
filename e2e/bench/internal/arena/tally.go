package arena

import (
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"
)

// seed makes the sums of one process comparable.
var seed = maphash.MakeSeed()

// Tally counts the events of one run. It is safe for concurrent use.
type Tally struct {
	expect int
	warm   int64 // number of the event that closes Warm
	begun  time.Time
	seen   []atomic.Int64 // arrival time by number, in nanoseconds after begun; 0: not yet
	sent   []atomic.Int64 // the same for the time of writing, if latency is measured
	count  atomic.Int64
	sum    atomic.Uint64 // sum of the hashes of all events
	twice  atomic.Int64
	alien  atomic.Int64

	// Warm is closed after the warm-up, Done after the last event.
	Warm, Done chan struct{}
	end        atomic.Int64
}

// NewTally returns a tally for records 0 to records-1, of which expect will arrive.
func NewTally(records, expect, warm int) *Tally {
	return &Tally{
		expect: expect, warm: int64(max(1, warm)), begun: time.Now(),
		seen: make([]atomic.Int64, records), sent: make([]atomic.Int64, records),
		Warm: make(chan struct{}), Done: make(chan struct{}),
	}
}

// Event counts one event: its bytes, and attributes that are stored elsewhere.
func (t *Tally) Event(data []byte, attributes ...[]byte) {
	n, ok := number(data)
	if !ok || n >= len(t.seen) {
		t.alien.Add(1)
		return
	}
	now := int64(time.Since(t.begun))
	if !t.seen[n].CompareAndSwap(0, now) {
		t.twice.Add(1)
		return
	}
	hash := maphash.Bytes(seed, data)
	for _, a := range attributes {
		hash = hash*31 + maphash.Bytes(seed, a)
	}
	t.sum.Add(hash)
	count := t.count.Add(1)
	if count == t.warm {
		close(t.Warm)
	}
	if count == int64(t.expect) {
		t.end.Store(now)
		close(t.Done)
	}
}

// Sent records that record i is written now.
func (t *Tally) Sent(i int) { t.sent[i].Store(int64(time.Since(t.begun))) }

// Count returns how many events have arrived.
func (t *Tally) Count() int64 { return t.count.Load() }

// End returns when the last event arrived.
func (t *Tally) End() time.Time { return t.begun.Add(time.Duration(t.end.Load())) }

// Sum returns a hash of the delivered events, which does not depend on their order.
func (t *Tally) Sum() uint64 { return t.sum.Load() }

// Check fails if an event came twice or was never sent.
func (t *Tally) Check() error {
	if twice, alien := t.twice.Load(), t.alien.Load(); twice+alien > 0 {
		return fmt.Errorf("%d events came twice, and %d came of no record", twice, alien)
	}
	return nil
}

// Latency returns the quantile share of the time from Sent to arrival. It ignores the first
// record.
func (t *Tally) Latency(share float64) time.Duration {
	var all []int64
	for i := 1; i < len(t.seen); i++ {
		if s := t.sent[i].Load(); s > 0 {
			all = append(all, t.seen[i].Load()-s)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return time.Duration(all[min(len(all)-1, int(share*float64(len(all))))])
}
