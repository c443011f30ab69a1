package cli

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// By default the garbage collector lets the heap grow to twice its live size, and further during a
// collection. A flow with default settings and a slow sink holds 32 MiB fetched, 32 MiB in flight,
// and what the transform makes of them. To keep this and its garbage within 256 MiB, the memory
// limit makes the collector start before memoryTarget is exceeded. That costs nothing while little
// is live. If more is live, because there are many flows or generous settings, the limit adds
// enough room that the collector does not run all the time.
const (
	memoryTarget = 160 << 20
	memorySpare  = 24 << 20 // plus an eighth of the memory in use
)

// The memory limit of Go covers all memory that the runtime holds and has not released: also
// stacks (a thousand flows have 20,000 goroutines) and internal tables. Heap memory that the
// runtime holds without using it (free, unused) does not count as in use.
const (
	metricLive     = "/gc/heap/live:bytes" // after the last collection
	metricTotal    = "/memory/classes/total:bytes"
	metricReleased = "/memory/classes/heap/released:bytes"
	metricObjects  = "/memory/classes/heap/objects:bytes"
	metricFree     = "/memory/classes/heap/free:bytes"
	metricUnused   = "/memory/classes/heap/unused:bytes"
)

// Objects that are allocated during a collection count as live at its end. On busy cores these are
// many, and most are dead soon after. A limit that followed them would let the next collection
// start late as well. So the limit follows the smallest of the last minOverSamples samples.
const minOverSamples = 4

// memoryLimit returns the memory limit. recent are the last samples of the live heap; beside is
// the memory in use outside the heap, in bytes.
func memoryLimit(beside uint64, recent ...uint64) int64 {
	used := beside + slices.Min(recent)
	return max(memoryTarget, int64(used+used/8)+memorySpare)
}

// followHeap adapts the memory limit of the Go runtime to the memory in use until ctx ends. It
// does nothing if a limit is set (GOMEMLIMIT).
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

// memoryInUse returns the live heap after the last collection, and the memory that the runtime
// uses outside the heap.
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
