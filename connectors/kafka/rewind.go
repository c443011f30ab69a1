package kafka

import (
	"math"
	"time"
)

// How long a partition rests before a message that was refused comes again: it
// doubles while the same one is refused.
const (
	minRewindDelay = 100 * time.Millisecond
	maxRewindDelay = 10 * time.Second
)

// refuse is what follows a message settled with an error while the assignment
// was live. The first time, handing over goes on for the rest, as the trouble
// may be that of one message. When it is the same one again, handing over stops
// at once: else all that is behind it would be delivered twice a round. It
// needs mu.
func (a *assignment) refuse(offset int64) {
	a.refused = true
	rest, again := a.part.nextRewindDelay(offset)
	if again {
		a.rewinding, a.rewindDelay = true, rest
		return
	}
	time.AfterFunc(rest, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.rewinding = true
		if a.waitsFor != waitNone {
			a.signal()
		}
	})
}

// rewind begins the partition again at the oldest record that is not settled,
// after a message was settled with an error while the assignment was live. It
// is the last thing the pump does. What is in flight may end first, so that no
// two messages of a key are side by side.
func (a *assignment) rewind() {
	if a.ctx.Err() != nil {
		return
	}
	a.awaitIdle()
	wait(a.ctx, a.rewindDelay, nil)
	if a.ctx.Err() != nil {
		return
	}
	r, p := a.session, a.part
	r.onPoll(func() {
		if !r.isCurrent(p, a) {
			return
		}
		a.finish(errRewound)
		pos := a.restartPosition()
		a.close(errRewound)
		if r.assign(p, pos) {
			r.log.Info("a message was refused; handing over again", "topic", p.topic, "partition", p.partition, "offset", pos.offset)
			r.seek(p, pos.offset)
		}
	})
}

// restartPosition is the position of what is not done: the oldest of it, and what is done
// beyond that.
func (a *assignment) restartPosition() position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return position{offset: a.tracker.Watermark(), committed: a.committed, end: a.end, done: a.tracker.DoneAhead(math.MaxInt)}
}

// awaitIdle waits until nothing is in flight, the drain timeout at most.
func (a *assignment) awaitIdle() {
	t := time.NewTimer(a.session.drain)
	defer t.Stop()
	for {
		a.mu.Lock()
		idle := a.tracker.InFlight() == 0
		a.waitsFor = waitIdle
		a.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-a.wake:
		case <-a.ctx.Done():
			return
		case <-t.C:
			return
		}
	}
}

// nextRewindDelay is how long to wait before the record at offset comes again, and
// whether it was that record the last time too.
func (p *partition) nextRewindDelay(offset int64) (rest time.Duration, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rewindDelay == 0 || p.restAt != offset {
		p.rewindDelay, p.restAt = minRewindDelay, offset
		return p.rewindDelay, false
	}
	p.rewindDelay = min(2*p.rewindDelay, maxRewindDelay)
	return p.rewindDelay, true
}
