package delivery

import (
	"context"
	"time"
)

// Swap replaces the current version by v; the source and its assignments stay.
// Everything that begins from now on uses v. Messages that wait, for a retry, a
// dead letter queue or a gate, start again on v at once, from the transform.
// Only deliveries that are done, receipt included, are left out: an output of
// the same name does not get the event again. Calls under way on the old
// version may finish until DrainTimeout. What they do not finish, or fail at,
// is done again on v, so a failure on the old version makes no dead letter
// after the swap.
//
// Swap cannot fail: v is in use when it returns. It returns true if the old
// version is unused by then, so that its sinks may be closed. It returns false
// if ctx ended first: the calls on the old version were cancelled, and at least
// one has not returned. Swap may be called at any time, from any goroutine,
// also while another Swap waits.
func (e *Engine) Swap(ctx context.Context, v *Version) (unused bool) {
	e.mu.Lock()
	old := e.version.Load()
	next := newVersion(e.cfg, v, old)
	e.version.Store(next)
	old.retired = make(chan struct{})
	e.restart(old, next)
	if old.users == 0 {
		close(old.retired)
	}
	e.wakeWorkers()
	e.mu.Unlock()
	defer e.dropCalls(old)

	drain := time.NewTimer(e.cfg.DrainTimeout)
	defer drain.Stop()
	select {
	case <-old.retired:
		return true
	case <-drain.C:
	case <-ctx.Done():
	}
	e.cancelCalls(func(_ *assignment, of *version) bool { return of == old })
	select {
	case <-old.retired:
		return true
	case <-ctx.Done():
		return false
	}
}

// restart starts every entry again on the next version, in the order of
// acceptance. An entry with calls under way waits for them, and so do the
// entries of its key behind it.
func (e *Engine) restart(old, next *version) {
	e.pauses = nil
	old.steps(func(s *step) {
		for _, b := range s.sealed {
			for _, t := range b.tasks {
				t.entry.calls--
			}
			e.drop(b)
		}
		if s.collecting != nil {
			e.drop(s.collecting)
		}
		s.ready, s.keptReady, s.gated, s.sealed, s.collecting = queue{}, queue{}, nil, nil, nil
	})
	for _, a := range e.assignments {
		if a.ended {
			continue
		}
		a.lanes = make([]laneTable, 1+len(next.outputs))
		for en := a.oldest; en != nil; en = en.newer {
			if en.placeholder {
				continue
			}
			for t := range en.tasks() {
				e.releaseHold(t)
				if t.done && t.step.out != nil {
					t.done = false
					en.achieved = append(en.achieved, doneDelivery{t.step.out.Name, t.part})
				}
			}
			t := &en.first
			if en.calls > 0 {
				t = new(task) // a worker may have one of the old tasks
				en.retransform = t
			} else {
				en.pending.Store(1)
				en.rest, en.retransform = nil, nil
			}
			*t = task{entry: en}
			e.enqueue(t, &next.transform)
		}
	}
}

// drop stops counting the tasks of a batch that will not be sent.
func (e *Engine) drop(b *batch) {
	n := len(b.tasks)
	b.step.working -= n
	b.step.version.users -= n
	e.working -= n
}

// dropCalls removes the call contexts of a version that was replaced.
func (e *Engine) dropCalls(old *version) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.assignments {
		kept := a.calls[:0]
		for _, c := range a.calls {
			if c.version != old {
				kept = append(kept, c)
				continue
			}
			c.cancel()
		}
		clear(a.calls[len(kept):])
		a.calls = kept
	}
}
