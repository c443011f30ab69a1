package resilience

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a token bucket. A nil *Rate lets everything through.
type Rate struct{ l *rate.Limiter }

// NewRate is one of so many calls a second in the long run, and burst at once;
// burst 0 is one second's worth.
func NewRate(perSecond float64, burst int) *Rate {
	if burst <= 0 {
		burst = max(1, int(math.Ceil(min(perSecond, 1<<30))))
	}
	return &Rate{rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// Allow asks for a call. Where there is none, wait says when there will be.
func (r *Rate) Allow() (wait time.Duration, ok bool) {
	if r == nil {
		return 0, true
	}
	now := time.Now()
	if r.l.AllowN(now, 1) {
		return 0, true
	}
	// Asked for and given back at once: only to know how long it would take.
	res := r.l.ReserveN(now, 1)
	wait = res.DelayFrom(now)
	res.CancelAt(now)
	return max(wait, time.Millisecond), false
}

// Concurrency bounds calls at once.
type Concurrency struct {
	most int64
	now  atomic.Int64
}

// NewConcurrency is a bound of so many.
func NewConcurrency(most int) *Concurrency { return &Concurrency{most: int64(most)} }

// Enter asks for a place; Leave gives it back.
func (c *Concurrency) Enter() bool {
	if c.now.Add(1) > c.most {
		c.now.Add(-1)
		return false
	}
	return true
}

// Leave gives a place back.
func (c *Concurrency) Leave() { c.now.Add(-1) }

// Now is how many calls are under way.
func (c *Concurrency) Now() int { return int(c.now.Load()) }
