package engine

import (
	"context"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// work is a worker: it takes the next lane, does what is next for the event at
// its head, and sees what follows. Nothing slow happens with the lock held.
func (e *Engine) work() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		l, b := e.next()
		switch {
		case b != nil:
			e.mu.Unlock()
			e.flush(b)
			e.mu.Lock()
		case l != nil:
			it := l.head
			e.mu.Unlock()
			out := e.attempt(it)
			e.mu.Lock()
			if !e.conclude(it, out) {
				e.mu.Unlock()
				e.settle(it, Interrupted, time.Now())
				e.mu.Lock()
				e.conclude(it, outcome{kind: settled})
			}
		default:
			return
		}
	}
}

// next is the next batch to send or lane to work on. It waits for one, and
// returns neither when the worker is to go.
func (e *Engine) next() (*lane, *batch) {
	for {
		switch {
		case e.workers > e.pace.limit:
			e.workers--
			e.rouse(1) // the call that woke this one may have been for work
			return nil, nil
		case len(e.sealed) > 0:
			b := e.sealed[0]
			e.sealed = append(e.sealed[:0], e.sealed[1:]...)
			e.sending[b] = struct{}{}
			b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(b.items[0].call))
			return nil, b
		case e.ready.n > 0 && e.working < e.cfg.MaxInFlight:
			l := e.ready.pop()
			e.thin()
			switch {
			case !e.take(l):
			case e.joins(l.head):
				e.join(l, l.head.stage) // there is nothing to do for it but that
			default:
				return l, nil
			}
		case e.closed && e.inFlight == 0:
			e.workers--
			return nil, nil
		case e.leaving > 0:
			e.leaving--
			e.workers--
			return nil, nil
		case e.hurry():
			continue // what was sealed is the next work
		default:
			e.inviteAll()
			e.pace.idle()
			e.parked++
			e.wake.Wait()
		}
	}
}

// take begins work on a lane's head, or lets it wait for the line.
func (e *Engine) take(l *lane) bool {
	it, st := l.head, e.stage.Load()
	if it.stage != st {
		e.unhold(it)
		it.begin(st)
	}
	if st.line.stops(it) {
		e.halt(l, &st.line)
		return false
	}
	l.place = working
	e.working++
	st.use()
	it.call = l.shard.callOn(st)
	return true
}

// rouse sees to it that up to n workers look for work: those parked first, then
// new ones. A parked worker is uncounted by whoever calls it, so that two calls
// never mean the same one.
func (e *Engine) rouse(n int) {
	for ; n > 0; n-- {
		switch {
		case e.parked > 0:
			e.parked--
			e.fewest = min(e.fewest, e.parked)
			e.wake.Signal()
		case e.workers < e.pace.limit:
			e.workers++
			e.others.Go(e.work)
		default:
			e.pacing()
			return
		}
	}
}

// outcome is what an attempt came to.
type outcome struct {
	kind  kind
	delay time.Duration // of a pause
	held  string        // why it is held, during a pause; "": it is a retry
	asked time.Duration // what the sink asked for, where it is long
	err   error
}

type kind uint8

const (
	settled   kind = iota // it was settled
	delivered             // it was settled, and the sink took it
	again                 // it is to be worked on again, at once
	store                 // its dead letter is to be stored
	join                  // it waits in a batch
	pause                 // it waits for a time
	wait                  // it waits for the line
)

// conclude does with a lane what the attempt at its head calls for. It returns
// false, having done nothing, when the assignment ended and the event must be
// settled as interrupted first.
func (e *Engine) conclude(it *item, out outcome) bool {
	l, st := it.lane, it.stage
	done := out.kind == settled || out.kind == delivered
	if !done && l.shard.ended {
		return false
	}
	e.note(out.err)
	current := st == e.stage.Load()
	if out.kind == join && current {
		e.join(l, st)
		return true
	}
	e.working--
	st.done()
	e.pace.done()
	switch {
	case done:
		if out.kind == delivered {
			st.line.delivered(it)
		} else {
			st.line.gone(it)
		}
		e.leave(l)
		e.moveLine(st)
	case !current || out.kind == again || out.kind == store:
		e.ready.push(l)
	case out.kind == pause:
		e.hold(it, out.held)
		e.noteAsked(st, out)
		e.sleep(l, out.delay)
	case out.kind == wait:
		e.halt(l, &st.line)
		e.moveLine(st) // it may move again, or lack a probe, by now
	}
	return true
}

// hold marks an event as held for a reason, or as not held when it is "".
func (e *Engine) hold(it *item, reason string) {
	if (it.held == "") == (reason == "") {
		it.held = reason
		return
	}
	it.held = reason
	if reason == "" {
		delete(e.held, it)
	} else {
		e.held[it] = struct{}{}
	}
	e.logHeld(it, reason)
	e.cfg.Observer.Held(len(e.held))
}

func (e *Engine) unhold(it *item) { e.hold(it, "") }

// settle ends an event towards its source and is counted. It is called without
// the lock, once an event, and before the event leaves the accounts.
func (e *Engine) settle(it *item, s Status, now time.Time) outcome {
	var err error
	if s == Interrupted {
		err = connector.ErrInterrupted
	}
	it.m.Settle(err)
	endSpan(it.span, it.letter, s)
	e.cfg.Observer.Settled(s, 1)
	e.cfg.Observer.Took(PhaseTotal, now.Sub(it.accepted), 1)
	if s == Delivered {
		return outcome{kind: delivered}
	}
	return outcome{kind: settled}
}

// settleAll is settle for many events.
func (e *Engine) settleAll(its []*item, s Status, now time.Time) {
	if len(its) == 0 {
		return
	}
	var err error
	if s == Interrupted {
		err = connector.ErrInterrupted
	}
	ms := make([]*connector.Message, len(its))
	for i, it := range its {
		ms[i] = it.m
	}
	connector.SettleAll(ms, err)
	first := 0 // of those that were accepted together
	for i, it := range its {
		endSpan(it.span, it.letter, s)
		if it.accepted != its[first].accepted {
			e.cfg.Observer.Took(PhaseTotal, now.Sub(its[first].accepted), i-first)
			first = i
		}
	}
	e.cfg.Observer.Took(PhaseTotal, now.Sub(its[first].accepted), len(its)-first)
	e.cfg.Observer.Settled(s, len(its))
}
