package delivery

import "time"

// State is how an engine stands at one moment.
type State struct {
	InFlight int   // accepted and not settled
	Bytes    int64 // of those
	Working  int   // of those, being made, sent or stored now
	Waiting  int   // of those, pausing before another try
	Retrying int   // of those that pause, the ones that are not held
	// Held are the reasons for which events are held, the most frequent first,
	// at most eight. Held is how a flow says that something outside needs a
	// person. HeldBy counts all that are held; nil when none is.
	Held   []Hold
	HeldBy map[Cause]int
	// Closed are the outputs whose gates are closed.
	Closed []Closed
	// LastError is the last thing that went wrong with an event, and when.
	LastError   string
	LastErrorAt time.Time
	// Asked is the pause that the sink asked for, where one under way is longer
	// than any of the flow's own, and AskedUntil when it ends.
	Asked      time.Duration
	AskedUntil time.Time
	// Oldest is the age of the event that waits the longest to be settled, and
	// OldestAt where it stands; 0 and "" when nothing is in flight.
	Oldest   time.Duration
	OldestAt string
}

// Closed is an output that tries one event at a time, and why. Output is empty
// where there is no other.
type Closed struct {
	Output, Why string
}

// failure is the last thing that went wrong.
type failure struct {
	err error
	at  time.Time
}

// noteError remembers an error for Status. Called with the lock held.
func (e *Engine) noteError(err error) {
	if err != nil {
		e.lastError = failure{err, time.Now()}
	}
}

// askedPause is a pause that the sink asked for.
type askedPause struct {
	pause time.Duration
	until time.Time
	step  *step
}

// noteAsked remembers the pause that ends last. Called with the lock held.
func (e *Engine) noteAsked(s *step, out outcome) {
	until := time.Now().Add(out.delay)
	if out.asked > 0 && (e.asked.step != s || until.After(e.asked.until)) {
		e.asked = askedPause{out.asked, until, s}
	}
}

// Status is cheap, safe for concurrent use and waits for nothing outside.
func (e *Engine) Status() State {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := State{
		InFlight: e.inFlight,
		Bytes:    e.bytes,
		Working:  e.transforming,
		Waiting:  len(e.pauses),
	}
	e.noteHolds(&s, now)
	v := e.version.Load()
	v.steps(func(st *step) {
		s.Working += st.working
		if words := st.gate.describe(); words != "" {
			s.Closed = append(s.Closed, Closed{st.label(), words})
		}
	})
	if e.lastError.err != nil {
		s.LastError, s.LastErrorAt = e.lastError.err.Error(), e.lastError.at
	}
	if e.asked.until.After(now) && e.asked.step.version == v && len(e.pauses) > 0 {
		s.Asked, s.AskedUntil = e.asked.pause, e.asked.until
	}
	for _, a := range e.assignments {
		if en := a.oldest; en != nil && now.Sub(en.accepted) >= s.Oldest {
			s.Oldest, s.OldestAt = now.Sub(en.accepted), en.m.Position.String()
		}
	}
	return s
}
