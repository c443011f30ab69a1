package resilience

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a token bucket. A nil *Rate lets everything through.
type Rate struct{ l *rate.Limiter }

// NewRate allows perSecond calls a second on average, and burst at once; burst 0 means
// the calls of one second.
func NewRate(perSecond float64, burst int) *Rate {
	if burst <= 0 {
		burst = max(1, int(math.Ceil(min(perSecond, 1<<30))))
	}
	return &Rate{rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// Allow asks for a call. If it is refused, wait is the time until there is room.
func (r *Rate) Allow() (wait time.Duration, ok bool) {
	if r == nil {
		return 0, true
	}
	now := time.Now()
	if r.l.AllowN(now, 1) {
		return 0, true
	}
	// Reserved and cancelled at once, to learn how long the wait would be.
	res := r.l.ReserveN(now, 1)
	wait = res.DelayFrom(now)
	res.CancelAt(now)
	return max(wait, time.Millisecond), false
}

// Concurrency limits concurrent calls.
type Concurrency struct {
	limit    int64
	inFlight atomic.Int64
}

// NewConcurrency allows most concurrent calls.
func NewConcurrency(most int) *Concurrency { return &Concurrency{limit: int64(most)} }

// TryAcquire reports whether another call may begin. Release ends it.
func (c *Concurrency) TryAcquire() bool {
	if c.inFlight.Add(1) > c.limit {
		c.inFlight.Add(-1)
		return false
	}
	return true
}

// Release ends a call that TryAcquire let begin.
func (c *Concurrency) Release() { c.inFlight.Add(-1) }

// InFlight is the number of calls in flight.
func (c *Concurrency) InFlight() int { return int(c.inFlight.Load()) }
