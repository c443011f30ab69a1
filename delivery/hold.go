package delivery

import (
	"cmp"
	"sort"
	"strings"
	"time"
)

// Cause is why an event is held.
type Cause uint8

// The causes.
const (
	_                Cause = iota
	CauseTransform         // the transform lacks something it needs
	CauseUnavailable       // the destination does not answer
	CauseStopped           // the line is stopped
	CauseBlocked           // the event failed for good, and onExhausted is block
	CauseDeadLetter        // its dead letter cannot be stored
	CauseReceipt           // its receipt cannot be written
)

// hold says why a task is held.
type hold struct {
	cause Cause
	what  string
	err   error // nil: it waits for another event
}

// reason is the text for a person.
func (h *hold) reason() string {
	if h.err == nil {
		return h.what
	}
	return h.what + ": " + h.err.Error()
}

// Hold is a reason and the events that it holds.
type Hold struct {
	Output string // "" for the transform, and if there is one output only
	Cause  Cause
	Reason string // for a person
	// Err is the last part of Reason; nil for events that wait for another
	// event.
	Err    error
	Events int
	Since  time.Duration // the age of the oldest of the events
}

const maxHolds = 8

// hold marks a task as held, or as not held if h is nil.
func (e *Engine) hold(t *task, h *hold) {
	before := t.held
	t.held = h
	if (before == nil) == (h == nil) {
		return
	}
	if h == nil {
		delete(e.held, t)
	} else {
		e.held[t] = struct{}{}
	}
	e.logHeld(t)
	e.cfg.Observer.Held(len(e.held))
}

func (e *Engine) releaseHold(t *task) { e.hold(t, nil) }

// noteHolds fills in the part of a State about held events.
func (e *Engine) noteHolds(s *State, now time.Time) {
	s.Retrying = len(e.pauses)
	if len(e.held) == 0 {
		return
	}
	s.HeldBy = make(map[Cause]int)
	type group struct{ output, reason string }
	by := make(map[group]*Hold)
	for t := range e.held {
		if t.lane.state == lanePaused {
			s.Retrying--
		}
		s.HeldBy[t.held.cause]++
		g := group{reason: t.held.reason()}
		if t.err == nil {
			g.output = t.step.label()
		}
		h := by[g]
		if h == nil {
			h = &Hold{Output: g.output, Cause: t.held.cause, Reason: g.reason, Err: t.held.err}
			by[g] = h
		}
		h.Events++
		h.Since = max(h.Since, now.Sub(t.entry.accepted))
	}
	for _, h := range by {
		s.Held = append(s.Held, *h)
	}
	sort.Slice(s.Held, func(i, j int) bool {
		if s.Held[i].Events != s.Held[j].Events {
			return s.Held[i].Events > s.Held[j].Events
		}
		return cmp.Or(strings.Compare(s.Held[i].Reason, s.Held[j].Reason), strings.Compare(s.Held[i].Output, s.Held[j].Output)) < 0
	})
	s.Held = s.Held[:min(len(s.Held), maxHolds)]
}
