package kafka

import (
	"math"
	"time"
)

// Bounds of the wait before a refused message is handed over again. The wait doubles
// while the same message is refused.
const (
	minRewindDelay = 100 * time.Millisecond
	maxRewindDelay = 10 * time.Second
)

// refuse schedules a rewind after a message was settled with an error while the
// assignment was live. The first time, messages behind it are handed over meanwhile, as
// only one message may be at fault. When the same message is refused again, handing
// over stops at once: otherwise every message behind it would be delivered again in
// each round. It needs mu.
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

// rewind restarts the partition at the oldest unsettled record, after a message was
// refused. It is the last thing that the pump does. It waits for messages in flight, so
// that no two messages of one key are processed at once.
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
			r.log.Info("message refused, reading again", "topic", p.topic, "partition", p.partition, "offset", pos.offset)
			r.seek(p, pos.offset)
		}
	})
}

// restartPosition returns the offset of the oldest unsettled record, and what is done
// beyond it.
func (a *assignment) restartPosition() position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return position{offset: a.tracker.Watermark(), committed: a.committed, end: a.end, done: a.tracker.DoneAhead(math.MaxInt)}
}

// awaitIdle waits until nothing is in flight, at most for the drain timeout.
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

// nextRewindDelay returns the wait before the record at offset is handed over again,
// and whether the previous refusal was of the same record.
func (p *partition) nextRewindDelay(offset int64) (rest time.Duration, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rewindDelay == 0 || p.rewindOffset != offset {
		p.rewindDelay, p.rewindOffset = minRewindDelay, offset
		return p.rewindDelay, false
	}
	p.rewindDelay = min(2*p.rewindDelay, maxRewindDelay)
	return p.rewindDelay, true
}
