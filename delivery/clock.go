package delivery

import (
	"container/heap"
	"time"

	"github.com/lsm/fiso/delivery/concurrency"
)

// runClock readies what waited long enough: paused lanes and batches that are
// due. It also looks after how many workers are worth having. It is one goroutine
// with one timer.
func (e *Engine) runClock() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if in := e.wakeDue(time.Now()); in >= 0 {
			timer.Reset(in)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-e.clockWake:
		case <-e.stop:
			return
		}
	}
}

// wakeDue readies what is due and returns the time until something will be, or
// less than 0 for nothing.
func (e *Engine) wakeDue(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.pauses) > 0 && !e.pauses[0].due.After(now) {
		l := heap.Pop(&e.pauses).(*lane) //nolint:forcetypeassert // holds only lanes
		e.makeReady(l)
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
	e.clockWatches = false
	e.version.Load().steps(func(s *step) {
		if b := s.collecting; b != nil {
			if b.due.After(now) {
				soonest(b.due.Sub(now))
			} else {
				e.closeBatch(s)
			}
		}
		if n := s.waiting(); n > 0 {
			// The workers that were woken for it may have taken work of another step.
			e.clockWatches = true
			e.newlyReady += n
		}
		if e.hasBacklog(s) {
			e.clockWatches = true
			s.concurrency.Look(now)
		}
	})
	e.wakeWorkers()
	if e.clockWatches {
		soonest(concurrency.LookEvery)
	} else if e.workers > minWorkers {
		e.stopIdleWorkers(now)
		soonest(trimEvery)
	}
	if e.clockDue = (time.Time{}); in >= 0 {
		e.clockDue = now.Add(in)
	}
	return in
}

// hasBacklog says that a step has more work than is under way: tasks wait although as
// many workers are at work there as may be, or a source waits for room although
// more are than a fast sink needs.
func (e *Engine) hasBacklog(s *step) bool {
	return s.waiting() > 0 && s.calls >= s.concurrency.Workers() || len(e.blocked) > 0 && s.calls > minWorkers
}

// remindClock wakes the clock, which computes anew when it is next needed, unless
// it wakes by itself before at. Called with the lock held.
func (e *Engine) remindClock(at time.Time) {
	if !e.clockDue.IsZero() && !e.clockDue.After(at) {
		return
	}
	select {
	case e.clockWake <- struct{}{}:
	default:
	}
}

// watchLimits sees to it that the clock looks after the limits, now that all
// workers that a step may have are busy.
func (e *Engine) watchLimits() {
	if !e.clockWatches {
		e.clockWatches = true
		e.remindClock(time.Time{})
	}
}

// trimEvery is how long a worker may be of no use before it goes.
const trimEvery = time.Second

// stopIdleWorkers lets workers go that were parked all the time since the last trim, but
// for the few that a fast sink needs.
func (e *Engine) stopIdleWorkers(now time.Time) {
	if now.Sub(e.trimmed) < trimEvery {
		return
	}
	for ; e.minParked > 0 && e.workers-e.toStop > minWorkers; e.minParked-- {
		e.parked--
		e.toStop++
		e.waking++
		e.wake.Signal()
	}
	e.minParked, e.trimmed = e.parked, now
}

// pauseLane pauses a lane.
func (e *Engine) pauseLane(l *lane, d time.Duration) {
	l.state = lanePaused
	l.due = time.Now().Add(d)
	heap.Push(&e.pauses, l)
	if l.index == 0 {
		e.remindClock(l.due)
	}
}

// remove takes lanes out for which gone holds.
func (p *pauses) remove(gone func(*lane) bool) {
	left := (*p)[:0]
	for _, l := range *p {
		if !gone(l) {
			l.index = len(left)
			left = append(left, l)
		}
	}
	clear((*p)[len(left):])
	*p = left
	heap.Init(p)
}
