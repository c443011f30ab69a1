package outage

import (
	"sync"
	"time"
)

// arrivals measures how soon after the return of a sink the waiting events arrive.
type arrivals struct {
	mu          sync.Mutex
	waiting     int       // events with a smaller number were waiting
	since       time.Time // when the sink began to come back
	back        time.Time // when the sink was back
	first, last time.Time
}

// returned records that the sink comes back now, and how many events were written before.
func (a *arrivals) returned(waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.waiting, a.since, a.back = waiting, now, now
	a.first, a.last = time.Time{}, time.Time{}
}

// completed records that the sink is completely back only now.
func (a *arrivals) completed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.back = time.Now()
}

// arrived records that event n arrived.
func (a *arrivals) arrived(n int, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n >= a.waiting || at.Before(a.since) {
		return
	}
	if a.first.IsZero() || at.Before(a.first) {
		a.first = at
	}
	if at.After(a.last) {
		a.last = at
	}
}

// afterReturn returns how long after the return the first and the last waiting event arrived.
func (a *arrivals) afterReturn() (first, last time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first.Sub(a.back), a.last.Sub(a.back)
}
