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
// collector is told to begin before memoryTarget is passed. That costs nothing
// while little lives. Where more lives, because flows are many or their settings
// generous, the limit leaves so much beside it that the collector need not run
// all the time.
const (
	memoryTarget = 160 << 20
	memorySpare  = 24 << 20 // and an eighth of what is in use
)

// The limit of the runtime is not one of the heap: it is compared with all that
// the runtime holds and has not given back, so stacks and its own tables count,
// too. A thousand flows have 20,000 goroutines. Memory that it holds for the
// heap and does not use now (free, unused) is not counted as in use.
const (
	metricLive     = "/gc/heap/live:bytes" // at the end of the last collection
	metricTotal    = "/memory/classes/total:bytes"
	metricReleased = "/memory/classes/heap/released:bytes"
	metricObjects  = "/memory/classes/heap/objects:bytes"
	metricFree     = "/memory/classes/heap/free:bytes"
	metricUnused   = "/memory/classes/heap/unused:bytes"
)

// What was made while a collection ran counts as alive at its end. On busy cores
// that is much, and dead soon: were the limit to follow it, it would make room
// for the next collection to run late too. So it follows the least of minOverSamples
// looks.
const minOverSamples = 4

// memoryLimit is the limit to set where so many bytes lived in the heap at the
// last looks, and so many are in use beside it.
func memoryLimit(beside uint64, recent ...uint64) int64 {
	used := beside + slices.Min(recent)
	return max(memoryTarget, int64(used+used/8)+memorySpare)
}

// followHeap sets the limit of the Go runtime by what is in use, until ctx ends.
// A limit that somebody set (GOMEMLIMIT) stands.
func followHeap(ctx context.Context) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	defer debug.SetMemoryLimit(math.MaxInt64)
	var recent [minOverSamples]uint64
	tick := time.NewTicker(startPollInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		live, beside := memoryInUse()
		recent[n%minOverSamples] = live
		debug.SetMemoryLimit(memoryLimit(beside, recent[:min(n+1, minOverSamples)]...))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// memoryInUse is what lived in the heap after the last collection, and what the
// runtime holds beside the heap.
func memoryInUse() (live, beside uint64) {
	samples := []metrics.Sample{
		{Name: metricLive}, {Name: metricTotal}, {Name: metricReleased}, {Name: metricObjects}, {Name: metricFree}, {Name: metricUnused},
	}
	metrics.Read(samples)
	beside = samples[1].Value.Uint64()
	for _, s := range samples[2:] {
		beside -= min(beside, s.Value.Uint64())
	}
	return samples[0].Value.Uint64(), beside
}
