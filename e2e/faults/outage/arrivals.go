package outage

import (
	"sync"
	"time"
)

// arrivals measures how long after the return of a sink the events arrive that
// waited for it.
type arrivals struct {
	mu          sync.Mutex
	waiting     int       // events below this number waited
	since       time.Time // when the sink began to come back
	back        time.Time // when it was back
	first, last time.Time
}

// returned notes that the sink comes back now, and that the events below a number
// were written before.
func (a *arrivals) returned(waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.waiting, a.since, a.back = waiting, now, now
	a.first, a.last = time.Time{}, time.Time{}
}

// onlyNow notes that it took the sink until now to come back.
func (a *arrivals) onlyNow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.back = time.Now()
}

// arrived notes that event n arrived.
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

// afterReturn is how long after the return the first and the last of the events
// arrived that waited.
func (a *arrivals) afterReturn() (first, last time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first.Sub(a.back), a.last.Sub(a.back)
}
