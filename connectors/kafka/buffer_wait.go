package kafka

import (
	"context"
	"time"
)

// Bounds of the wait for partitions whose buffer is full.
const (
	progressInterval  = 25 * time.Millisecond // between two checks of their progress
	maxProgressChecks = 8                     // then fetching goes on without them
	// progressDivisor: a partition must hand over this fraction of its share between
	// two checks, or fetching no longer waits for it.
	progressDivisor = 32
)

// awaitBuffers waits, before the next fetch, for partitions whose buffer is full, as
// long as they make progress. A partition without progress is paused, so that it does
// not delay others.
//
// Pausing a full partition at once would be simpler, and slow: franz-go has one fetch
// in flight at each broker. While a partition is paused, that fetch may ask only for
// partitions that are read to their ends, and then waits at the broker for
// fetchMaxWait. The paused partition waits as long, however large its backlog is.
func (r *session) awaitBuffers(ctx context.Context) {
	for n := 1; r.fullBuffers.Load() > 0; n++ {
		t := time.NewTimer(progressInterval)
		select {
		case <-r.buffersFreed:
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			for _, a := range r.live() {
				a.checkProgress(n < maxProgressChecks)
			}
		}
		t.Stop()
	}
}

// markFull records that the buffer is full, unless the partition is already paused for
// it. It needs mu.
func (a *assignment) markFull() {
	if a.full || a.part.holding(holdFull) {
		return
	}
	a.full, a.lastBuffered = true, a.buffered
	a.session.fullBuffers.Add(1)
}

// unmarkFull undoes markFull. It needs mu.
func (a *assignment) unmarkFull() {
	if !a.full {
		return
	}
	a.full = false
	if a.session.fullBuffers.Add(-1) == 0 {
		select {
		case a.session.buffersFreed <- struct{}{}:
		default:
		}
	}
}

// checkProgress pauses a full partition that makes too little progress, or, without
// more, any full partition.
func (a *assignment) checkProgress(more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	moved := a.lastBuffered - a.buffered
	a.lastBuffered = a.buffered
	if !a.full || more && moved >= a.session.partitionShare.Load()/progressDivisor {
		return
	}
	a.part.hold(holdFull)
	a.unmarkFull()
}
