package resilience

import (
	"sync"
	"time"
)

// Timeouts end what takes longer than a time that is the same for all. So they
// end in the order they began, and one timer serves them all: setting and
// stopping one for each costs more than a short call has to spare.
type Timeouts struct {
	after time.Duration

	mu          sync.Mutex
	first, last *Timeout
	timer       *time.Timer
	armed       bool
}

// NewTimeouts are of that length.
func NewTimeouts(after time.Duration) *Timeouts { return &Timeouts{after: after} }

// Timeout is one of them. It is part of what it ends, and used once.
type Timeout struct {
	until      time.Time
	do         func()
	on         bool
	prev, next *Timeout
}

// Begin has do called once the time has passed since now. It must not wait.
func (t *Timeouts) Begin(x *Timeout, now time.Time, do func()) {
	x.until, x.do, x.on = now.Add(t.after), do, true
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

// arm has the timer run. One that finds nothing to end runs again only when
// there is something.
func (t *Timeouts) arm(d time.Duration) {
	t.armed = true
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.due)
	} else {
		t.timer.Reset(d)
	}
}

// End takes it off; it may have passed, or been taken off before.
func (t *Timeouts) End(x *Timeout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(x)
}

func (t *Timeouts) remove(x *Timeout) {
	if !x.on {
		return
	}
	x.on = false
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

func (t *Timeouts) due() {
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
