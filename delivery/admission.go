package delivery

// admit waits for room for one more message. It returns false if the assignment
// ended first. An assignment with nothing in flight always has room: neither a
// message over the byte limit nor the stuck messages of another assignment can
// block it forever.
func (e *Engine) admit(a *assignment, size int64) bool {
	for !a.ended && !e.closed {
		if e.fits(a, size) {
			return true
		}
		full := a.inFlight >= e.cfg.MaxInFlight
		a.waiting++
		if e.backlogFull() {
			e.waitsForBacklog = true
		} else if !full && !a.waitsForBytes {
			a.waitsForBytes = true
			e.waitingForBytes++
		}
		e.blocked[a] = struct{}{}
		if e.sealIdle() {
			e.wakeWorkers()
		}
		a.room.Wait()
		if a.waiting--; a.waiting == 0 {
			e.unblock(a)
		}
	}
	return false
}

// fits reports whether there is room for one more message.
func (e *Engine) fits(a *assignment, size int64) bool {
	return a.inFlight == 0 || a.inFlight < e.cfg.MaxInFlight && e.bytes+size <= e.cfg.MaxInFlightBytes && !e.backlogFull()
}

// maxBacklog is the backlog at which no more messages are accepted from an
// assignment that has something in flight. A message that is transformed
// further ahead does not leave earlier, and is out of the processor's cache by
// then: with eight partitions of 1,024 messages each, an event to Kafka cost a
// tenth more.
const maxBacklog = 1024

// backlog returns how many tasks are ready, or about to be, for the transform
// and for the least busy output. It is the least busy one so that an output
// that is behind does not block the others.
func (e *Engine) backlog() int {
	v := e.version.Load()
	least := -1
	for i := range v.outputs {
		if n := v.outputs[i].ready.n; least < 0 || n < least {
			least = n
		}
	}
	return v.transform.ready.n + e.transforming + max(least, 0)
}

func (e *Engine) backlogFull() bool { return e.backlog() >= maxBacklog }

// resumeSources wakes handlers that wait for the backlog to shrink, once it is
// half of maxBacklog.
func (e *Engine) resumeSources() {
	if e.waitsForBacklog && e.backlog() <= maxBacklog/2 {
		e.waitsForBacklog = false
		e.wakeSources()
	}
}

// unblock notes that no handler waits in a any more.
func (e *Engine) unblock(a *assignment) {
	delete(e.blocked, a)
	if a.waitsForBytes {
		a.waitsForBytes = false
		e.waitingForBytes--
	}
}

// roomFreed wakes handlers after a message of a was settled. While workers have
// work it waits until a sixteenth of the room is free, so that a full engine
// does not switch goroutines for each message.
func (e *Engine) roomFreed(a *assignment) {
	if len(e.blocked) == 0 {
		return
	}
	if e.waitsForBacklog {
		if a.inFlight == 0 {
			a.room.Broadcast()
		}
		e.resumeSources()
		return
	}
	if a.waiting > 0 && (e.backlog() == 0 || a.inFlight <= e.cfg.MaxInFlight-e.cfg.MaxInFlight/16) {
		a.room.Broadcast()
	}
	if e.waitingForBytes == 0 {
		return
	}
	for b := range e.blocked {
		if b.waitsForBytes {
			b.room.Broadcast()
		}
	}
}

// wakeSources wakes handlers when workers run out of work.
func (e *Engine) wakeSources() {
	for a := range e.blocked {
		if a.inFlight < e.cfg.MaxInFlight || a.waitsForBytes {
			a.room.Broadcast()
		}
	}
}
