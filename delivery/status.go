package delivery

import "time"

// State describes an engine at one moment.
type State struct {
	InFlight int   // messages accepted and not settled
	Bytes    int64 // of those messages
	Working  int   // tasks being transformed, sent or stored now, or in a batch
	Waiting  int   // tasks that pause before another try
	Retrying int   // of those, tasks that are not held
	// Held are the reasons for which events are held, the most frequent first,
	// at most eight. An event is held when something outside the engine needs
	// a person. HeldBy counts all held events by cause; nil if there are none.
	Held   []Hold
	HeldBy map[Cause]int
	// Closed are the outputs whose gates are closed.
	Closed []Closed
	// LastError is the last failure of an event, and when it happened.
	LastError   string
	LastErrorAt time.Time
	// Asked is the pause that the sink asked for, if it is under way and
	// longer than the maximum of the retry policy; AskedUntil is when it ends.
	Asked      time.Duration
	AskedUntil time.Time
	// Oldest is the age of the oldest message in flight, and OldestAt its
	// position; 0 and "" if none is in flight.
	Oldest   time.Duration
	OldestAt string
}

// Closed is an output that tries one event at a time, and why. Output is "" if
// there is one output only.
type Closed struct {
	Output, Why string
}

// failure is an error of an event.
type failure struct {
	err error
	at  time.Time
}

// noteError remembers an error for Status. The caller holds the lock.
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

// noteAsked remembers the pause that ends last. The caller holds the lock.
func (e *Engine) noteAsked(s *step, out outcome) {
	until := time.Now().Add(out.delay)
	if out.asked > 0 && (e.asked.step != s || until.After(e.asked.until)) {
		e.asked = askedPause{out.asked, until, s}
	}
}

// Status is cheap and safe for concurrent use.
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
