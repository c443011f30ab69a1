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
	Open                  // no call goes through
)

// String returns the name of the state.
func (s State) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// Outcome is what a call or an attempt says about its target.
type Outcome int

// The outcomes.
const (
	Success Outcome = iota
	Failure
	Inconclusive // the caller ended it or was slow: it says nothing
)

// BreakerConfig says when a breaker opens and closes.
type BreakerConfig struct {
	FailureThreshold int           // failures in a row; not used with FailureRatio
	FailureRatio     float64       // share of failures of the last window; 0: not used
	MinRequests      int           // outcomes that FailureRatio needs
	SuccessThreshold int           // successes in a row that close it; also how many trials run at once
	ResetTimeout     time.Duration // from open to half-open; also the window of FailureRatio
	// Changed is called after each change, by the goroutine that caused it. May be
	// nil.
	Changed func(from, to State)
}

// Breaker is a circuit breaker. A nil *Breaker lets everything through.
type Breaker struct {
	cfg BreakerConfig

	mu              sync.Mutex
	state           State
	generation      uint64 // counts changes: an outcome of an earlier generation is void
	inARow          int    // failures in a row while closed, successes while half-open
	rowPath         uint64 // the path of all failures in a row; 0: several paths, or the target
	lastSuccesses   [2]pathSuccess
	failedTrialPath uint64 // path of the last failed trial; 0: none, or the target failed
	trials          int    // in flight while half-open
	openUntil       time.Time
	window          window
}

// pathSuccess is the last success of a path.
type pathSuccess struct {
	path uint64
	at   time.Time
}

// otherPathSuccessTTL is how long the success of one path keeps the failures of another
// from opening the circuit.
const otherPathSuccessTTL = 5 * time.Minute

// NewBreaker returns a closed breaker.
func NewBreaker(cfg BreakerConfig) *Breaker {
	return &Breaker{cfg: cfg, window: window{slice: max(cfg.ResetTimeout/windowSlices, time.Millisecond)}}
}

// Permit lets one attempt through. Done, or DoneAt, is called once for the last
// permit of a call, and for each trial; other permits may be dropped.
type Permit struct {
	b          *Breaker
	generation uint64
	trial      bool
}

// Trial reports whether a half-open breaker gave the permit.
func (p Permit) Trial() bool { return p.trial }

// Allow asks for a permit. If it is refused, wait is the time after which to ask again,
// for Retry-After.
func (b *Breaker) Allow() (p Permit, wait time.Duration, ok bool) { return b.AllowAt(0) }

// AllowAt is Allow for a path, by its number; see DoneAt. A path whose trial failed
// gets no trial for a while if there are other paths.
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
		told = b.setState(HalfOpen)
	}
	if b.state == HalfOpen {
		if b.trials >= b.cfg.SuccessThreshold || b.leavesTrialToOthers(path) {
			b.mu.Unlock()
			notify(told)
			return Permit{}, time.Second, false
		}
		b.trials++
	}
	p = Permit{b, b.generation, b.state == HalfOpen}
	b.mu.Unlock()
	notify(told)
	return p, 0, true
}

// Done returns the permit with the outcome of the call.
func (p Permit) Done(o Outcome) { p.DoneAt(o, 0) }

// DoneAt is Done with an outcome that may concern one path only: an answer. While
// other paths succeed, failures of one path do not open the circuit. path is its
// number; 0: the outcome concerns the target.
func (p Permit) DoneAt(o Outcome, path uint64) {
	if p.b != nil {
		notify(p.b.done(p.generation, o, path))
	}
}

func (b *Breaker) done(period uint64, o Outcome, path uint64) (told func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if period != b.generation {
		return nil // it began before the last change
	}
	if b.state == HalfOpen {
		b.trials--
		switch o {
		case Failure:
			b.failedTrialPath = path
			return b.setState(Open)
		case Success:
			if b.inARow++; b.inARow >= b.cfg.SuccessThreshold {
				return b.setState(Closed)
			}
		}
		return nil
	}
	if o == Inconclusive {
		return nil
	}
	now := time.Now()
	if b.cfg.FailureRatio == 0 {
		b.record(o, path, now)
		if b.inARow >= b.cfg.FailureThreshold && !b.onlyOnePathFails(now) {
			return b.setState(Open)
		}
		return nil
	}
	if b.window.add(now, o == Failure); o != Failure {
		return nil
	}
	if failed, all := b.window.count(now); all >= b.cfg.MinRequests && float64(failed) >= b.cfg.FailureRatio*float64(all) {
		return b.setState(Open)
	}
	return nil
}

// record counts an outcome of a closed breaker.
func (b *Breaker) record(o Outcome, path uint64, now time.Time) {
	if o == Failure {
		if b.inARow++; b.inARow == 1 {
			b.rowPath = path
		} else if b.rowPath != path {
			b.rowPath = 0
		}
		return
	}
	b.inARow = 0
	if path == 0 {
		return
	}
	if b.lastSuccesses[0].path != path {
		b.lastSuccesses[1] = b.lastSuccesses[0]
	}
	b.lastSuccesses[0] = pathSuccess{path, now}
}

// onlyOnePathFails reports whether all failures in a row are of one path while
// another path succeeded recently.
func (b *Breaker) onlyOnePathFails(now time.Time) bool {
	for _, s := range b.lastSuccesses {
		if b.rowPath != 0 && s.path != 0 && s.path != b.rowPath && now.Sub(s.at) < otherPathSuccessTTL {
			return true
		}
	}
	return false
}

// leavesTrialToOthers reports whether a path gets no trial: it failed the last one,
// there are other paths, and they have not had resetTimeout yet.
func (b *Breaker) leavesTrialToOthers(path uint64) bool {
	if path == 0 || path != b.failedTrialPath || time.Since(b.openUntil) >= b.cfg.ResetTimeout {
		return false
	}
	for _, s := range b.lastSuccesses {
		if s.path != 0 && s.path != path {
			return true
		}
	}
	return false
}

// setState changes the state, and returns the notification to send after the lock
// is released.
func (b *Breaker) setState(to State) func() {
	from := b.state
	b.state, b.inARow, b.trials = to, 0, 0
	b.generation++
	switch to {
	case Open:
		b.openUntil = time.Now().Add(b.cfg.ResetTimeout)
	case Closed:
		b.failedTrialPath = 0
		b.window.reset()
	}
	if b.cfg.Changed == nil {
		return nil
	}
	return func() { b.cfg.Changed(from, to) }
}

func notify(told func()) {
	if told != nil {
		told()
	}
}

// State returns the current state. An open breaker whose resetTimeout is over is
// half-open.
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

// windowSlices is the number of slices of a window; old outcomes leave by slices.
const windowSlices = 10

// window counts the outcomes of the last windowSlices slices of time.
type window struct {
	slice   time.Duration
	counts  [windowSlices]struct{ failed, all int }
	current int64 // number of the slice that is being filled
}

func (w *window) add(now time.Time, failed bool) {
	w.advance(now)
	c := &w.counts[w.current%windowSlices]
	c.all++
	if failed {
		c.failed++
	}
}

// advance empties the slices that are too old.
func (w *window) advance(now time.Time) {
	at := now.UnixNano() / int64(w.slice)
	if at-w.current >= windowSlices || at < w.current {
		w.reset()
		w.current = at
	}
	for ; w.current < at; w.current++ {
		w.counts[(w.current+1)%windowSlices] = struct{ failed, all int }{}
	}
}

func (w *window) count(now time.Time) (failures, all int) {
	w.advance(now)
	for _, c := range w.counts {
		failures += c.failed
		all += c.all
	}
	return failures, all
}

func (w *window) reset() { w.counts = [windowSlices]struct{ failed, all int }{} }
