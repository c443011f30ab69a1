package kafka

import (
	"context"
	"time"
)

// How long fetching waits for partitions that have enough buffered.
const (
	look  = 25 * time.Millisecond // between two looks at how they get on
	looks = 8                     // at most, before fetching goes on without them
	// enough is the part of its share that a partition must hand over between
	// two looks, to be waited for.
	enough = 32
)

// awaitRoom waits, before more is fetched, for partitions that have enough
// buffered, as long as they get on. One that does not is no longer fetched, so
// that it holds up no other.
//
// To fetch no more for one at once would be simpler, and costs it dear.
// franz-go has one fetch under way at each broker. While a partition is left
// out, that fetch may ask for none but those that are read to their ends, and
// then waits there for fetchMaxWait; and so does, for as long, the partition
// that wants more in the meantime, whatever its backlog is.
func (r *session) awaitRoom(ctx context.Context) {
	for n := 1; r.full.Load() > 0; n++ {
		t := time.NewTimer(look)
		select {
		case <-r.room:
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			for _, a := range r.live() {
				a.keepUp(n < looks)
			}
		}
		t.Stop()
	}
}

// fill notes that the assignment has enough buffered, unless nothing is fetched
// for it anyway. It needs mu.
func (a *assignment) fill() {
	if a.full || a.part.holding(holdFull) {
		return
	}
	a.full, a.seen = true, a.buffered
	a.run.full.Add(1)
}

// ease takes that back. It needs mu.
func (a *assignment) ease() {
	if !a.full {
		return
	}
	a.full = false
	if a.run.full.Add(-1) == 0 {
		select {
		case a.run.room <- struct{}{}:
		default:
		}
	}
}

// keepUp ends the wait for an assignment that hands over too little to be
// waited for, or that no wait is left for.
func (a *assignment) keepUp(more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	moved := a.seen - a.buffered
	a.seen = a.buffered
	if !a.full || more && moved >= a.run.share.Load()/enough {
		return
	}
	a.part.hold(holdFull)
	a.ease()
}
