package resilience

import (
	"sync"
	"time"
)

const (
	// budgetFloor is how many retries may always be at once: a target that is
	// called now and then has no traffic to take a share of.
	budgetFloor = 3
	// budgetWindow is how long a call counts as traffic.
	budgetWindow = 10 * time.Second
)

// Budget bounds retries to a share of the calls, so that a target in trouble
// is not called several times as often as one that is well. A retry counts
// from the moment it is decided until its attempt is over, its wait included:
// retries that wait would otherwise come all at once
// (https://github.com/envoyproxy/envoy/issues/30205).
type Budget struct {
	share float64

	mu      sync.Mutex
	calls   int // under way
	retries int // waiting or under way
	recent  window
}

// NewBudget is a budget of that share, from 0 (no retries) to 1.
func NewBudget(share float64) *Budget {
	return &Budget{share: share, recent: window{slice: budgetWindow / parts}}
}

// Begin counts a call; End ends it.
func (b *Budget) Begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.recent.add(time.Now(), false)
}

// End ends a call that began.
func (b *Budget) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls--
}

// Take asks for a retry; the function it returns gives it back, once its
// attempt is over. nil: the budget is used up.
func (b *Budget) Take() (giveBack func()) {
	if b.share <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	retried, all := b.recent.count(time.Now())
	calls := max(all-retried, b.calls)
	if b.retries >= budgetFloor && float64(max(b.retries, retried)) >= b.share*float64(calls) {
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
