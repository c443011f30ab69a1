package resilience

import (
	"sync"
	"time"
)

// State of a breaker; the numbers are the values of fiso_link_circuit_state.
type State int

// The states.
const (
	Closed   State = iota // calls go through
	HalfOpen              // a few trials go through
	Open                  // none does
)

// String is the state in words.
func (s State) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// Outcome is what a call, or an attempt, says of its target.
type Outcome int

// The outcomes.
const (
	Success Outcome = iota
	Failure
	Nothing // its caller cut it short or was slow: it says nothing, and gives its place back
)

// BreakerConfig says when a breaker opens and closes.
type BreakerConfig struct {
	FailureThreshold int           // failures in a row; not used with FailureRatio
	FailureRatio     float64       // share of failures of the last window; 0: not used
	MinRequests      int           // outcomes that FailureRatio needs
	SuccessThreshold int           // successes in a row that close it; also how many trials run at once
	ResetTimeout     time.Duration // from open to half-open; also the window of FailureRatio
	// Changed is told of each change, after it, by the goroutine that caused
	// it. nil: nobody is.
	Changed func(from, to State)
}

// Breaker is a circuit breaker. A nil *Breaker lets everything through.
type Breaker struct {
	cfg BreakerConfig

	mu        sync.Mutex
	state     State
	period    uint64 // counts changes: an outcome of an earlier period is void
	row       int    // failures in a row, closed; successes in a row, half-open
	path      uint64 // that all failures of the row are of; 0: they are of several, or of the target
	well      [2]success
	failed    uint64 // path of the trial that failed last; 0: that of none, or the target did
	trials    int    // under way, half-open
	openUntil time.Time
	window    window
}

// success is the last one of a path.
type success struct {
	path uint64
	at   time.Time
}

// othersWell is how long the success of one path keeps the failures of another
// from opening the circuit.
const othersWell = 5 * time.Minute

// NewBreaker is a closed one.
func NewBreaker(cfg BreakerConfig) *Breaker {
	return &Breaker{cfg: cfg, window: window{slice: max(cfg.ResetTimeout/parts, time.Millisecond)}}
}

// Permit lets one attempt through. Done, or DoneAt, is called once for the last
// permit of a call, and for every one that is a trial; others may be dropped.
type Permit struct {
	b      *Breaker
	period uint64
	trial  bool
}

// Trial reports whether it is one of the few that a half-open breaker gives.
func (p Permit) Trial() bool { return p.trial }

// Allow asks for an attempt. Where there is none, wait says when to ask again:
// what Retry-After tells.
func (b *Breaker) Allow() (p Permit, wait time.Duration, ok bool) { return b.AllowAt(0) }

// AllowAt is Allow for a path, by its number; see DoneAt. A path that has failed a
// trial leaves the next ones to others, for a while.
func (b *Breaker) AllowAt(path uint64) (p Permit, wait time.Duration, ok bool) {
	if b == nil {
		return Permit{}, 0, true
	}
	var told func()
	b.mu.Lock()
	if b.state == Open {
		if left := time.Until(b.openUntil); left > 0 {
			b.mu.Unlock()
			return Permit{}, left, false
		}
		told = b.become(HalfOpen)
	}
	if b.state == HalfOpen {
		if b.trials >= b.cfg.SuccessThreshold || b.standsBack(path) {
			b.mu.Unlock()
			tell(told)
			return Permit{}, time.Second, false
		}
		b.trials++
	}
	p = Permit{b, b.period, b.state == HalfOpen}
	b.mu.Unlock()
	tell(told)
	return p, 0, true
}

// Done gives the permit back with what the call said of the target.
func (p Permit) Done(o Outcome) { p.DoneAt(o, 0) }

// DoneAt is Done with an outcome that may be that of one path alone: an answer.
// While other paths are answered well, failures of one in a row do not open the
// circuit. path is a number for it; 0: the outcome is that of the target.
func (p Permit) DoneAt(o Outcome, path uint64) {
	if p.b != nil {
		tell(p.b.done(p.period, o, path))
	}
}

func (b *Breaker) done(period uint64, o Outcome, path uint64) (told func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if period != b.period {
		return nil // it began before the last change, which knew more
	}
	if b.state == HalfOpen {
		b.trials--
		switch o {
		case Failure:
			b.failed = path
			return b.become(Open)
		case Success:
			if b.row++; b.row >= b.cfg.SuccessThreshold {
				return b.become(Closed)
			}
		}
		return nil
	}
	if o == Nothing {
		return nil
	}
	now := time.Now()
	if b.cfg.FailureRatio == 0 {
		b.count(o, path, now)
		if b.row >= b.cfg.FailureThreshold && !b.aPathAlone(now) {
			return b.become(Open)
		}
		return nil
	}
	if b.window.add(now, o == Failure); o != Failure {
		return nil
	}
	if failed, all := b.window.count(now); all >= b.cfg.MinRequests && float64(failed) >= b.cfg.FailureRatio*float64(all) {
		return b.become(Open)
	}
	return nil
}

// count counts an outcome of a closed breaker.
func (b *Breaker) count(o Outcome, path uint64, now time.Time) {
	if o == Failure {
		if b.row++; b.row == 1 {
			b.path = path
		} else if b.path != path {
			b.path = 0
		}
		return
	}
	b.row = 0
	if path == 0 {
		return
	}
	if b.well[0].path != path {
		b.well[1] = b.well[0]
	}
	b.well[0] = success{path, now}
}

// aPathAlone reports whether one path fails and another one does not.
func (b *Breaker) aPathAlone(now time.Time) bool {
	for _, s := range b.well {
		if b.path != 0 && s.path != 0 && s.path != b.path && now.Sub(s.at) < othersWell {
			return true
		}
	}
	return false
}

// standsBack reports whether a path leaves the trials to others: it failed the last
// one, there are others, and they have not had resetTimeout yet.
func (b *Breaker) standsBack(path uint64) bool {
	if path == 0 || path != b.failed || time.Since(b.openUntil) >= b.cfg.ResetTimeout {
		return false
	}
	for _, s := range b.well {
		if s.path != 0 && s.path != path {
			return true
		}
	}
	return false
}

// become changes the state, and returns what tells of it, for after the lock.
func (b *Breaker) become(to State) func() {
	from := b.state
	b.state, b.row, b.trials = to, 0, 0
	b.period++
	switch to {
	case Open:
		b.openUntil = time.Now().Add(b.cfg.ResetTimeout)
	case Closed:
		b.failed = 0
		b.window.reset()
	}
	if b.cfg.Changed == nil {
		return nil
	}
	return func() { b.cfg.Changed(from, to) }
}

func tell(told func()) {
	if told != nil {
		told()
	}
}

// State is the state now; one that is open and may try again is half-open.
func (b *Breaker) State() State {
	if b == nil {
		return Closed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == Open && !time.Now().Before(b.openUntil) {
		return HalfOpen
	}
	return b.state
}

// parts are what a window is made of: what leaves it does so by tenths.
const parts = 10

// window counts outcomes of the last while.
type window struct {
	slice  time.Duration
	counts [parts]struct{ failed, all int }
	at     int64 // number of the slice that is being filled
}

func (w *window) add(now time.Time, failed bool) {
	w.move(now)
	c := &w.counts[w.at%parts]
	c.all++
	if failed {
		c.failed++
	}
}

// move empties the parts that time has passed over.
func (w *window) move(now time.Time) {
	at := now.UnixNano() / int64(w.slice)
	if at-w.at >= parts || at < w.at {
		w.reset()
		w.at = at
	}
	for ; w.at < at; w.at++ {
		w.counts[(w.at+1)%parts] = struct{ failed, all int }{}
	}
}

func (w *window) count(now time.Time) (failures, all int) {
	w.move(now)
	for _, c := range w.counts {
		failures += c.failed
		all += c.all
	}
	return failures, all
}

func (w *window) reset() { w.counts = [parts]struct{ failed, all int }{} }
