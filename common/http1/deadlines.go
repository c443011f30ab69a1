package http1

import (
	"sync"
	"time"
)

// deadlines ends attempts at their Outgoing.Deadline. Attempts of one caller mostly
// take equally long at most, so they stand in the order in which they end, and one
// timer is moved once in that time. To move the deadline of each connection would cost
// two changes of the runtime's timers an attempt.
type deadlines struct {
	mu          sync.Mutex
	first, last *clientConn
	timer       *time.Timer
	next        time.Time // when the timer fires; zero: it does not
}

// add has c end at a time.
func (d *deadlines) add(c *clientConn, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.due, c.expired = at, false
	c.timed.Store(true)
	before := d.last
	for before != nil && before.due.After(at) {
		before = before.earlier
	}
	c.earlier = before
	if before == nil {
		c.later, d.first = d.first, c
	} else {
		c.later, before.later = before.later, c
	}
	if c.later == nil {
		d.last = c
	} else {
		c.later.earlier = c
	}
	if d.next.IsZero() || at.Before(d.next) {
		d.fireAt(at)
	}
}

// remove reports whether c did not end before.
func (d *deadlines) remove(c *clientConn) bool {
	if !c.timed.Load() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.timed.Store(false)
	if c.expired {
		return false
	}
	d.unlink(c)
	return true
}

func (d *deadlines) unlink(c *clientConn) {
	if c.earlier == nil {
		d.first = c.later
	} else {
		c.earlier.later = c.later
	}
	if c.later == nil {
		d.last = c.earlier
	} else {
		c.later.earlier = c.earlier
	}
	c.earlier, c.later = nil, nil
}

func (d *deadlines) fireAt(at time.Time) {
	d.next = at
	if d.timer == nil {
		d.timer = time.AfterFunc(time.Until(at), d.fire)
		return
	}
	d.timer.Reset(time.Until(at))
}

func (d *deadlines) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = time.Time{}
	now := time.Now()
	for c := d.first; c != nil && !c.due.After(now); c = d.first {
		d.unlink(c)
		c.expired = true
		c.abort()
	}
	if d.first != nil {
		d.fireAt(d.first.due)
	}
}

// isExpired reports whether the attempt of c has ended.
func (d *deadlines) isExpired(c *clientConn) bool {
	if !c.timed.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.expired
}

// stop ends the timer where no attempt is left.
func (d *deadlines) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first == nil && d.timer != nil {
		d.timer.Stop()
		d.next = time.Time{}
	}
}
