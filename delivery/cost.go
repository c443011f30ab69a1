package delivery

import (
	"sync/atomic"
	"time"
)

const (
	// maxInlineDuration is what a processor may take on average to be called by the
	// source's own goroutine. One that takes longer gains more by all cores
	// than it loses on the way to a worker.
	maxInlineDuration = 20 * time.Microsecond
	// minSamples is how many calls say something of a processor.
	minSamples = 16
	// averageOver is how many calls the average is taken over, about.
	averageOver = 256
	// maxSample bounds what one call adds: a machine that was busy elsewhere
	// for a while says nothing of the processor.
	maxSample = 10 * time.Millisecond
	// maxStride is how many calls at most are timed together.
	maxStride = 8
)

// meanDuration is what a call of a processor takes on average. It is safe for
// concurrent use; of two calls that add at the same moment one may be lost.
type meanDuration struct {
	calls atomic.Int64 // up to memory
	mean  atomic.Int64 // in ns
}

// add counts n calls that took so long each.
func (c *meanDuration) add(each time.Duration, n int) {
	calls := min(c.calls.Load()+int64(n), averageOver)
	mean := c.mean.Load()
	part := float64(min(int64(n), calls)) / float64(calls)
	c.mean.Store(mean + int64(part*float64(int64(min(each, maxSample))-mean)))
	c.calls.Store(calls)
}

// isQuick reports whether the processor is known to be quick.
func (c *meanDuration) isQuick() bool {
	return c.calls.Load() >= minSamples && time.Duration(c.mean.Load()) < maxInlineDuration
}

// stride is how many calls are timed together, as to ask the time costs as
// much as many a processor.
func (c *meanDuration) stride() int {
	if time.Duration(c.mean.Load()) < maxInlineDuration/maxStride {
		return maxStride
	}
	return 1
}
