package cli

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// The garbage collector by itself lets the heap grow to twice what lives in it,
// and further while it is at work. A flow as shipped that stands before a slow
// sink keeps 32 MiB fetched and 32 MiB in flight, and what is made of them on
// the way; so that this, and the garbage beside it, stays within 256 MiB, the
// collector is told to begin before heapGoal is passed. That costs nothing while
// little lives. Where more lives, because flows are many or their settings
// generous, the goal is so much that the collector need not run all the time.
const (
	heapGoal  = 160 << 20
	heapSpare = 24 << 20 // and an eighth of what lives
)

// liveMetric is what was alive at the end of the last collection, and what was
// made while it ran. On busy cores that is much, and dead soon: were the limit
// to follow it, it would make room for the next collection to run late too. So
// it follows the least of leastOf looks.
const (
	liveMetric = "/gc/heap/live:bytes"
	leastOf    = 4
)

// memoryLimit is the limit to set where so many bytes lived at the last looks.
func memoryLimit(recent ...uint64) int64 {
	live := slices.Min(recent)
	return max(heapGoal, int64(live+live/8)+heapSpare)
}

// followHeap sets the limit of the Go runtime by what lives, until ctx ends. A
// limit that somebody set (GOMEMLIMIT) stands.
func followHeap(ctx context.Context) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	defer debug.SetMemoryLimit(math.MaxInt64)
	sample := []metrics.Sample{{Name: liveMetric}}
	var recent [leastOf]uint64
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		metrics.Read(sample)
		recent[n%leastOf] = sample[0].Value.Uint64()
		debug.SetMemoryLimit(memoryLimit(recent[:min(n+1, leastOf)]...))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
