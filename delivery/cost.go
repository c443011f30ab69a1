package delivery

import (
	"sync/atomic"
	"time"
)

const (
	// maxInlineDuration is the mean duration below which a transformer is called
	// on the source's goroutine. A slower one gains more from several cores than
	// the handover to a worker costs.
	maxInlineDuration = 20 * time.Microsecond
	// minSamples is how many calls are needed before the mean is used.
	minSamples = 16
	// averageOver is about how many calls the mean covers.
	averageOver = 256
	// maxSample bounds what one call adds to the mean: a pause of the machine
	// says nothing about the transformer.
	maxSample = 10 * time.Millisecond
	// maxStride is how many calls at most are timed together.
	maxStride = 8
)

// meanDuration is the mean duration of a call of the transformer. It is safe
// for concurrent use; of two calls that add at the same moment one may be lost.
type meanDuration struct {
	calls atomic.Int64 // up to averageOver
	mean  atomic.Int64 // in ns
}

// add counts n calls that took each.
func (c *meanDuration) add(each time.Duration, n int) {
	calls := min(c.calls.Load()+int64(n), averageOver)
	mean := c.mean.Load()
	part := float64(min(int64(n), calls)) / float64(calls)
	c.mean.Store(mean + int64(part*float64(int64(min(each, maxSample))-mean)))
	c.calls.Store(calls)
}

// isQuick reports whether the transformer is known to be quick.
func (c *meanDuration) isQuick() bool {
	return c.calls.Load() >= minSamples && time.Duration(c.mean.Load()) < maxInlineDuration
}

// stride returns how many calls are timed together: reading the clock takes as
// long as many a transform.
func (c *meanDuration) stride() int {
	if time.Duration(c.mean.Load()) < maxInlineDuration/maxStride {
		return maxStride
	}
	return 1
}
