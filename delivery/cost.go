package delivery

import (
	"sync/atomic"
	"time"
)

const (
	// lowCost is what a processor may take on average to be called by the
	// source's own goroutine. One that takes longer gains more by all cores
	// than it loses on the way to a worker.
	lowCost = 20 * time.Microsecond
	// leastSure is how many calls say something of a processor.
	leastSure = 16
	// memory is how many calls the average is taken over, about.
	memory = 256
	// mostCounted bounds what one call adds: a machine that was busy elsewhere
	// for a while says nothing of the processor.
	mostCounted = 10 * time.Millisecond
	// mostStride is how many calls at most are timed together.
	mostStride = 8
)

// cost is what a call of a processor takes on average. It is safe for
// concurrent use; of two calls that add at the same moment one may be lost.
type cost struct {
	calls atomic.Int64 // up to memory
	mean  atomic.Int64 // in ns
}

// add counts n calls that took so long each.
func (c *cost) add(each time.Duration, n int) {
	calls := min(c.calls.Load()+int64(n), memory)
	mean := c.mean.Load()
	part := float64(min(int64(n), calls)) / float64(calls)
	c.mean.Store(mean + int64(part*float64(int64(min(each, mostCounted))-mean)))
	c.calls.Store(calls)
}

// low reports whether the processor is known to be quick.
func (c *cost) low() bool {
	return c.calls.Load() >= leastSure && time.Duration(c.mean.Load()) < lowCost
}

// stride is how many calls are timed together, as to ask the time costs as
// much as many a processor.
func (c *cost) stride() int {
	if time.Duration(c.mean.Load()) < lowCost/mostStride {
		return mostStride
	}
	return 1
}
