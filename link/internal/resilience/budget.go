package resilience

import (
	"sync"
	"time"
)

const (
	// minRetriesAtOnce retries are always allowed at once: a share of little traffic
	// would round to none.
	minRetriesAtOnce = 3
	// budgetWindow is the time for which a call counts as traffic.
	budgetWindow = 10 * time.Second
)

// Budget bounds retries to a share of the calls, so that a failing target does not
// get several times the load. A retry counts from its decision until its attempt
// is over, its backoff included: retries that wait would otherwise come all at once
// (https://github.com/envoyproxy/envoy/issues/30205).
type Budget struct {
	share float64

	mu      sync.Mutex
	calls   int // in flight
	retries int // waiting or in flight
	recent  window
}

// NewBudget returns a budget with that share of the calls, from 0 (no retries) to 1.
func NewBudget(share float64) *Budget {
	return &Budget{share: share, recent: window{slice: budgetWindow / windowSlices}}
}

// CallBegan counts a call; End ends it.
func (b *Budget) CallBegan() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.recent.add(time.Now(), false)
}

// CallEnded ends a call that began.
func (b *Budget) CallEnded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls--
}

// TryRetry asks for a retry. The caller calls giveBack when the attempt is over; nil:
// the budget is used up.
func (b *Budget) TryRetry() (giveBack func()) {
	if b.share <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	retried, all := b.recent.count(time.Now())
	calls := max(all-retried, b.calls)
	if b.retries >= minRetriesAtOnce && float64(max(b.retries, retried)) >= b.share*float64(calls) {
		return nil
	}
	b.retries++
	b.recent.add(time.Now(), true)
	return func() {
		b.mu.Lock()
		b.retries--
		b.mu.Unlock()
	}
}
