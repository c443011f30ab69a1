package engine

import (
	"container/heap"
	"time"
)

// clock readies what waited long enough: paused lanes, batches that are due,
// and a pace that nothing moves. It is one goroutine with one timer.
func (e *Engine) clock() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if in := e.tick(time.Now()); in >= 0 {
			timer.Reset(in)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-e.nudge:
		case <-e.stop:
			return
		}
	}
}

// tick readies what is due and returns the time until something will be, or
// less than 0 for nothing.
func (e *Engine) tick(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.ready.n
	for len(e.pauses) > 0 && !e.pauses[0].due.After(now) {
		e.ready.push(heap.Pop(&e.pauses).(*lane)) //nolint:forcetypeassert // holds only lanes
	}
	in := time.Duration(-1)
	soonest := func(d time.Duration) {
		if in < 0 || d < in {
			in = max(d, 0)
		}
	}
	if len(e.pauses) > 0 {
		soonest(e.pauses[0].due.Sub(now))
	}
	if b := e.stage.Load().open; b != nil {
		if b.due.After(now) {
			soonest(b.due.Sub(now))
		} else {
			e.seal(b)
		}
	}
	e.rouse(e.ready.n - before)
	if e.watched = e.backlog(); e.watched {
		if e.parked > 0 {
			e.pace.idle()
		}
		e.pace.look(now)
		e.rouse(e.ready.n)
		soonest(paceLook)
	} else if e.workers > paceLeast {
		e.trim(now)
		soonest(trimEvery)
	}
	if e.alarm = (time.Time{}); in >= 0 {
		e.alarm = now.Add(in)
	}
	return in
}

// backlog says that there is more work than is under way: lanes wait although
// every worker there may be is busy, or a source waits for room although more are
// than a fast sink needs.
func (e *Engine) backlog() bool {
	return e.ready.n > 0 && e.parked == 0 || len(e.blocked) > 0 && e.workers-e.parked > paceLeast
}

// remind wakes the clock, which computes anew when it is next needed, unless it
// wakes by itself before at. Called with the lock held.
func (e *Engine) remind(at time.Time) {
	if !e.alarm.IsZero() && !e.alarm.After(at) {
		return
	}
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// pacing sees to it that the clock looks after the pace, now that every worker
// there may be is busy.
func (e *Engine) pacing() {
	if !e.watched {
		e.watched = true
		e.remind(time.Time{})
	}
}

// trimEvery is how long a worker may be of no use before it goes.
const trimEvery = time.Second

// trim lets workers go that were parked all the time since the last trim, but
// for the few that a fast sink needs.
func (e *Engine) trim(now time.Time) {
	if now.Sub(e.trimmed) < trimEvery {
		return
	}
	for ; e.fewest > 0 && e.workers-e.leaving > paceLeast; e.fewest-- {
		e.parked--
		e.leaving++
		e.wake.Signal()
	}
	e.fewest, e.trimmed = e.parked, now
}

// sleep pauses a lane.
func (e *Engine) sleep(l *lane, d time.Duration) {
	l.place = paused
	l.due = time.Now().Add(d)
	heap.Push(&e.pauses, l)
	if l.index == 0 {
		e.remind(l.due)
	}
}
