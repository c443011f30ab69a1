package delivery

// runWorker is a worker. It takes a task or a batch, works on it without the
// lock, and applies the outcome with the lock.
func (e *Engine) runWorker() {
	var routed []Routed // of the current transform
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waking--
	for {
		t, b := e.next()
		switch {
		case b != nil:
			e.mu.Unlock()
			e.sendBatch(b)
			e.mu.Lock()
			e.callEnds(b.step)
		case t != nil:
			s := t.step
			e.mu.Unlock()
			var out outcome
			out, routed = e.attempt(t, routed[:0])
			e.mu.Lock()
			e.callEnds(s)
			if back := e.applyOutcome(t, out, routed); back != nil {
				e.mu.Unlock()
				e.handBack([]*entry{back})
				e.mu.Lock()
				e.removeEntry(back)
			}
			clear(routed)
			e.newlyReady = max(0, e.newlyReady-1) // this worker takes one
			e.wakeWorkers()
		default:
			return
		}
	}
}

// next waits for a task or a batch and returns it. It returns neither if the worker
// is to stop.
func (e *Engine) next() (*task, *batch) {
	for {
		if e.workers > e.maxWorkers() {
			e.workers--
			e.newlyReady++ // it may have been woken for work
			e.wakeWorkers()
			return nil, nil
		}
		t, b := e.pick()
		switch {
		case t != nil || b != nil:
			return t, b
		case e.closed && e.inFlight == 0:
			e.workers--
			return nil, nil
		case e.toStop > 0:
			e.toStop--
			e.workers--
			return nil, nil
		case e.sealIdle():
			continue // the sealed batch is the next work
		default:
			e.wakeSources()
			e.version.Load().steps(func(s *step) {
				if s.waiting() == 0 {
					s.concurrency.Idle()
				}
			})
			e.parked++
			e.wake.Wait()
			e.waking--
		}
	}
}

// pick takes work from the steps in turn, so that a slow output does not block
// the others.
func (e *Engine) pick() (*task, *batch) {
	v := e.version.Load()
	n := len(v.outputs) + 1
	for range n {
		e.nextStep = (e.nextStep + 1) % n
		s := &v.transform
		if e.nextStep > 0 {
			s = &v.outputs[e.nextStep-1]
		}
		for s.calls < s.concurrency.Workers() {
			if len(s.sealed) > 0 {
				e.callBegins(s)
				return nil, e.takeBatch(s)
			}
			l := s.keptReady.pop()
			if l == nil && !e.stepFull(s) {
				l = s.ready.pop()
				e.resumeSources()
			}
			if l == nil {
				break
			}
			switch {
			case !e.beginHead(l):
			case s.fitsBatch(l.head):
				e.addToBatch(l) // nothing else is to be done for it
			default:
				l.head.entry.calls++
				e.callBegins(s)
				return l.head, nil
			}
		}
	}
	return nil, nil
}

// stepFull reports whether no more work may begin at a step. It counts per
// output, so an output that hangs leaves the others their share.
func (e *Engine) stepFull(s *step) bool {
	return s.working+s.kept >= s.maxInFlight || e.working >= e.cfg.MaxInFlight*max(1, len(s.version.outputs))
}

// beginHead begins work on a lane's head. It returns false if the head has to
// wait for the gate.
func (e *Engine) beginHead(l *lane) bool {
	t, s := l.head, l.step
	if s.gate.rotatesProbe(t) && len(s.gated) > 0 {
		s.gate.taskGone(t)
		e.moveGateTo(s, 1)
	}
	if s.out != nil && !s.gate.allows(t) {
		e.waitForGate(l)
		return false
	}
	if t.pauses == 0 {
		s.gate.taskBegins(t)
	}
	s.uncountKept(t)
	l.state = laneWorking
	s.working++
	e.working++
	s.version.use(1)
	t.call = t.entry.in.callContext(s.version)
	return true
}

// maxWorkers is the number of busy workers, and how many more the steps may have.
// Workers that are busy at a step over its limit, or at a version that was replaced,
// are not missing at the other steps.
func (e *Engine) maxWorkers() int {
	n := e.busy
	e.version.Load().steps(func(s *step) { n += s.freeWorkers() })
	return n
}

func (e *Engine) callBegins(s *step) {
	s.calls++
	e.busy++
}

func (e *Engine) callEnds(s *step) {
	s.calls--
	e.busy--
}

// freeWorkers is how many more workers a step may have.
func (s *step) freeWorkers() int { return max(0, s.concurrency.Workers()-s.calls) }

// waiting is how many tasks and batches wait for a worker.
func (s *step) waiting() int { return s.ready.n + s.keptReady.n + len(s.sealed) }

// makeReady queues a lane for the next worker.
func (e *Engine) makeReady(l *lane) {
	if l.head.kept {
		l.step.keptReady.push(l)
	} else {
		l.step.ready.push(l)
	}
	e.newlyReady++
}

// wakeWorkers wakes or starts workers for what became ready since it was last
// called, as far as the limits allow. It removes a worker from parked before it
// wakes it, so that two calls never count on the same worker.
func (e *Engine) wakeWorkers() {
	if e.newlyReady == 0 {
		return
	}
	useful, behind := -e.waking, false
	e.version.Load().steps(func(s *step) {
		work, free := s.waiting(), s.freeWorkers()
		useful += min(work, free)
		behind = behind || work > free
	})
	n := min(e.newlyReady, useful)
	for e.newlyReady = 0; n > 0; n-- {
		switch {
		case e.parked > 0:
			e.parked--
			e.minParked = min(e.minParked, e.parked)
			e.wake.Signal()
		case e.workers < e.maxWorkers():
			e.workers++
			e.others.Go(e.runWorker)
		default:
			behind, n = true, 1
			continue
		}
		e.waking++
	}
	if behind {
		e.watchLimits()
	}
}
