package engine

import (
	"fmt"

	"github.com/lsm/fiso/flow/fault"
)

// line stops a stage when events are given up because of the sink, one after
// the other: one expired token must not pour a topic into the dead letter
// queue. It then holds all events but one, the probe, which is tried again
// until it passes. Guarded by the engine's lock.
type line struct {
	limit   int // so many in a row; 0: never stops
	row     int // given up since the last delivery, those still being stored too
	stopped bool
	probe   *item // the only one that may try; nil: the next that comes
	waiting []*lane
	why     error // what the sink said last
}

// permit is what the line says to an event that is to be given up.
type permit uint8

const (
	proceed permit = iota // give it up
	probing               // it is the probe, and tries again
	halted                // it waits
)

// giveUp asks whether an event may be given up because of the sink. However
// many ask at the same moment, no more than limit in a row may.
func (n *line) giveUp(it *item, why error) permit {
	switch {
	case n.limit <= 0:
		return proceed
	case !n.stopped && n.row < n.limit:
		n.row++
		return proceed
	}
	n.stopped = true
	n.why = why
	if n.probe == nil {
		n.probe = it
	}
	if n.probe == it {
		return probing
	}
	return halted
}

// stops reports whether an event must wait. The first that asks of a stopped
// line without a probe becomes the probe. What was given up before the line
// stopped may still be stored.
func (n *line) stops(it *item) bool {
	if !n.stopped || it.letter != nil {
		return false
	}
	if n.probe == nil {
		n.probe = it
	}
	return n.probe != it
}

// delivered ends the row, and moves a stopped line when it was the probe.
func (n *line) delivered(it *item) (moves bool) {
	n.row = 0
	if !n.stopped || n.probe != it {
		return false
	}
	n.stopped, n.probe, n.why = false, nil, nil
	return true
}

// gone says that an event left without being delivered.
func (n *line) gone(it *item) {
	if n.probe == it {
		n.probe = nil
	}
}

// remove takes waiting lanes out for which gone holds.
func (n *line) remove(gone func(*lane) bool) {
	left := n.waiting[:0]
	for _, l := range n.waiting {
		if !gone(l) {
			left = append(left, l)
		}
	}
	clear(n.waiting[len(left):])
	n.waiting = left
}

// words say for a person that the line stopped; "" while it moves.
func (n *line) words() string {
	if !n.stopped {
		return ""
	}
	s := fmt.Sprintf("the line is stopped: %d events in a row were given up because of the sink (%.200s); one is tried again until it passes, all others wait", n.row, n.why)
	if n.probe != nil {
		s += ", probing with " + n.probe.m.Position.String()
	}
	return s
}

// permit asks the line of the item's stage, and logs when it stops.
func (e *Engine) permit(it *item, code fault.Code, why error) permit {
	if code != fault.SinkRejected && code != fault.SinkDeliveryFailed {
		return proceed // a property of the record, which says nothing of the sink
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &it.stage.line
	before := n.stopped
	p := n.giveUp(it, why)
	if n.stopped && !before {
		e.cfg.Logger.ErrorContext(it.call, n.words())
	}
	return p
}

// halt lets a lane wait for the line.
func (e *Engine) halt(l *lane, n *line) {
	l.place = lined
	n.waiting = append(n.waiting, l)
	e.hold(l.head, "the line is stopped")
}

// moveLine readies the lanes that a line has no more reason to hold: all when
// it moves, the first when it lacks a probe. They start from the start.
func (e *Engine) moveLine(st *stage) {
	n := &st.line
	k := len(n.waiting)
	if k == 0 {
		return
	}
	if n.stopped {
		if n.probe != nil {
			return
		}
		k = 1
	}
	for _, l := range n.waiting[:k] {
		e.unhold(l.head)
		l.head.begin(st)
		e.ready.push(l)
	}
	n.waiting = append(n.waiting[:0], n.waiting[k:]...)
	e.rouse(k)
}
