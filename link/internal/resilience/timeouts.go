package resilience

import (
	"sync"
	"time"
)

// Timeouts are timeouts of one duration. They expire in the order in which they
// start, so one timer serves all of them: a timer for each would cost a short call
// too much.
type Timeouts struct {
	after time.Duration

	mu          sync.Mutex
	first, last *Timeout
	timer       *time.Timer
	armed       bool
}

// NewTimeouts returns timeouts of that duration.
func NewTimeouts(after time.Duration) *Timeouts { return &Timeouts{after: after} }

// Timeout is one timeout, used once. It is embedded in what it ends.
type Timeout struct {
	until      time.Time
	do         func()
	active     bool
	prev, next *Timeout
}

// Start calls do when the timeout expires, counted from now. do must not block.
func (t *Timeouts) Start(x *Timeout, now time.Time, do func()) {
	x.until, x.do, x.active = now.Add(t.after), do, true
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.prev = t.last; x.prev != nil {
		x.prev.next = x
	} else {
		t.first = x
	}
	t.last = x
	if !t.armed {
		t.arm(t.after)
	}
}

// arm starts the timer. A timer that finds no timeout is not started again until
// there is one.
func (t *Timeouts) arm(d time.Duration) {
	t.armed = true
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.fire)
	} else {
		t.timer.Reset(d)
	}
}

// Stop stops a timeout. It may have expired or been stopped before.
func (t *Timeouts) Stop(x *Timeout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(x)
}

func (t *Timeouts) remove(x *Timeout) {
	if !x.active {
		return
	}
	x.active = false
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		t.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		t.last = x.prev
	}
	x.prev, x.next = nil, nil
}

func (t *Timeouts) fire() {
	var over []func()
	t.mu.Lock()
	now := time.Now()
	for t.first != nil && !now.Before(t.first.until) {
		over = append(over, t.first.do)
		t.remove(t.first)
	}
	if t.armed = t.first != nil; t.armed {
		t.arm(t.first.until.Sub(now))
	}
	t.mu.Unlock()
	for _, do := range over {
		do()
	}
}
