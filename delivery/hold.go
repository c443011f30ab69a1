package delivery

import (
	"cmp"
	"sort"
	"strings"
	"time"
)

// Cause is a kind of reason for which an event is held.
type Cause uint8

// The causes.
const (
	_                Cause = iota
	CauseTransform         // the transform lacks what it needs
	CauseUnavailable       // the destination is away
	CauseStopped           // the line is stopped
	CauseBlocked           // the configuration says that failures block
	CauseDeadLetter        // its dead letter cannot be stored
	CauseReceipt           // its receipt cannot be written
)

// hold is why a task is held.
type hold struct {
	cause Cause
	what  string
	err   error // nil: it waits behind another one
}

// words are the reason for a person.
func (h *hold) words() string {
	if h.err == nil {
		return h.what
	}
	return h.what + ": " + h.err.Error()
}

// Hold is one reason and how many events it holds.
type Hold struct {
	Output string // "" where it is none's, and where there is only one
	Cause  Cause
	Reason string // for a person
	// Err is what went wrong, the last part of Reason; nil for events that wait
	// behind another one.
	Err    error
	Events int
	Since  time.Duration // the age of the oldest of them
}

const maxHolds = 8

// hold marks a task as held, or as not held when h is nil.
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

// noteHolds fills in what a State says of held events.
func (e *Engine) noteHolds(s *State, now time.Time) {
	s.Retrying = len(e.pauses)
	if len(e.held) == 0 {
		return
	}
	s.HeldBy = make(map[Cause]int)
	type group struct{ output, words string }
	by := make(map[group]*Hold)
	for t := range e.held {
		if t.lane.state == lanePaused {
			s.Retrying--
		}
		s.HeldBy[t.held.cause]++
		g := group{words: t.held.words()}
		if t.err == nil {
			g.output = t.step.label()
		}
		h := by[g]
		if h == nil {
			h = &Hold{Output: g.output, Cause: t.held.cause, Reason: g.words, Err: t.held.err}
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
