package delivery

import (
	"container/heap"
	"time"

	"github.com/lsm/fiso/delivery/concurrency"
)

// runClock makes paused lanes ready and seals batches when they are due, and
// adjusts the number of workers. It is one goroutine with one timer.
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

// wakeDue makes ready what is due. It returns the time until the next call, or
// less than 0 if there is nothing to wait for.
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
				e.sealBatch(s)
			}
		}
		if n := s.waiting(); n > 0 {
			// The workers woken for it may have taken work of another step.
			e.clockWatches = true
			e.newlyReady += n
		}
		if e.hasBacklog(s) {
			e.clockWatches = true
			if s.waiting() == 0 {
				s.concurrency.Idle()
			}
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

// hasBacklog reports whether a step has more work than its workers do: tasks
// wait although all workers that it may have are busy, or a source waits for
// room although more than minWorkers are busy. Of a closed gate it says nothing.
func (e *Engine) hasBacklog(s *step) bool {
	return s.gate.state == gateOpen && (s.waiting() > 0 && s.calls >= s.concurrency.Workers() || len(e.blocked) > 0 && s.calls > minWorkers)
}

// remindClock wakes the clock to compute its next wake-up again, unless it
// wakes before at anyway. The caller holds the lock.
func (e *Engine) remindClock(at time.Time) {
	if !e.clockDue.IsZero() && !e.clockDue.After(at) {
		return
	}
	select {
	case e.clockWake <- struct{}{}:
	default:
	}
}

// watchLimits makes the clock adjust the worker limits from now on. It is
// called when all workers that a step may have are busy.
func (e *Engine) watchLimits() {
	if !e.clockWatches {
		e.clockWatches = true
		e.remindClock(time.Time{})
	}
}

// trimEvery is how long a worker may be parked before it is stopped.
const trimEvery = time.Second

// stopIdleWorkers stops the workers that were parked since the last trim, down
// to minWorkers.
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

// pauseLane pauses a lane for d.
func (e *Engine) pauseLane(l *lane, d time.Duration) {
	l.state = lanePaused
	l.due = time.Now().Add(d)
	heap.Push(&e.pauses, l)
	if l.index == 0 {
		e.remindClock(l.due)
	}
}

// remove removes the lanes for which gone is true.
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
