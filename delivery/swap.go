package delivery

import (
	"context"
	"time"
)

// Swap puts v in the place of the current version while the source and its
// assignments stay. Whatever is begun from now on is done by v. Messages that
// wait, for a retry, for a dead letter queue or for a gate, start again on it at
// once and from the start, but for deliveries that are done, receipt included: an
// output of the same name does not get the event again. Calls under way on the old version may
// finish until DrainTimeout; what they do not finish, or fail at, is done again
// by v, so no verdict of the old version becomes a dead letter after the swap.
//
// Swap cannot fail: v is in force when it returns. It reports whether the old
// version is unused by then, so that its sinks may be closed. When ctx ends
// first, the old version's calls are cancelled, but one has not returned. Swap
// may be called at any time, from any goroutine, while another Swap waits too.
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

// restart begins every entry anew on the next version, in the order in which
// they were accepted. One with calls under way waits for them, and those of its
// key behind it do, too.
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
		s.ready, s.closing, s.gated, s.sealed, s.collecting = queue{}, queue{}, nil, nil, nil
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
				if t.over && t.step.out != nil {
					t.over = false
					en.achieved = append(en.achieved, doneDelivery{t.step.out.Name, t.part})
				}
			}
			t := &en.first
			if en.calls > 0 {
				t = new(task) // one of before may be in a worker's hands
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

// drop takes the tasks of a batch that is not sent out of what is being worked
// on.
func (e *Engine) drop(b *batch) {
	n := len(b.tasks)
	b.step.working -= n
	b.step.version.users -= n
	e.working -= n
}

// dropCalls lets go of a replaced version's call contexts.
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
