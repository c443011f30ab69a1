package engine

import "time"

const (
	paceLeast = 16                     // workers that there may always be
	paceLook  = 10 * time.Millisecond  // how often the clock looks
	paceLong  = 40 * time.Millisecond  // what a measurement takes, for it is a noisy world
	paceSlow  = 100 * time.Millisecond // a sink that takes longer gains by every worker
	restFirst = 2 * time.Second        // between two trials; doubled while they are in vain
	restLast  = 16 * time.Second
	paceUp    = 4   // times the workers, in a trial upward
	paceDown  = 2   // the part of them, in a trial downward
	surely    = 3   // the gain that leaves no doubt of a trial upward
	worthMore = 1.4 // the gain that it must bring, twice, for a machine has moods
	worthLess = 0.9 // what a trial downward must leave
)

// pace finds how many workers are worth having. A sink that waits, 20 ms say,
// needs as many as MaxInFlight allows; a fast one on a busy machine gains
// nothing beyond a few, and loses to ever more connections and goroutines. So
// pace tries: it raises or lowers the limit, and keeps what the rate of
// finished work says was worth it. It measures only while work is waiting and
// nobody is idle; otherwise the rate is the source's. It decides about speed
// and nothing else. Guarded by the engine's lock.
type pace struct {
	limit, most int

	began    time.Time // the measurement; zero: with the next look
	finished int       // since then
	slack    bool      // somebody was idle since then
	settling int       // to be finished before the measurement begins

	trial   trial
	doubt   bool // the trial upward brought a gain once
	down    bool // the next trial is downward
	before  int  // the limit to go back to
	rate    float64
	rest    time.Duration
	resting time.Time // no trial before
}

type trial uint8

const (
	steady trial = iota
	widened
	narrowed
)

func newPace(most int) pace {
	return pace{limit: min(paceLeast, most), most: most, rest: restFirst}
}

// done counts one attempt that ended; idle says that a worker found no work.
func (p *pace) done() { p.finished++ }
func (p *pace) idle() { p.slack = true }

// look judges what was measured, once it says enough. It is called every
// paceLook while work is waiting.
func (p *pace) look(now time.Time) {
	took := now.Sub(p.began)
	switch {
	case p.began.IsZero() || p.slack || took > 10*paceSlow:
		p.measure(now)
	case p.settling > 0:
		if p.finished >= p.settling || took >= paceSlow {
			p.settling = 0
			p.measure(now)
		}
	case p.finished >= p.limit && took >= paceLong || took >= paceSlow:
		p.judge(now, float64(p.finished)/took.Seconds(), p.finished < p.limit)
		p.measure(now)
	}
}

func (p *pace) measure(now time.Time) { p.began, p.finished, p.slack = now, 0, false }

// judge ends a trial, or begins one. Of a slow sink, one that took longer than
// was measured, the rate says nothing yet, and more workers are always right.
func (p *pace) judge(now time.Time, rate float64, slow bool) {
	changed := rate < 0.7*p.rate && p.trial == steady
	switch {
	case slow:
		p.keep(rate)
		p.try(widened)
	case p.trial == widened && !p.doubt && rate >= worthMore*p.rate && rate < surely*p.rate:
		p.doubt = true
	case p.trial == widened && rate >= worthMore*p.rate,
		p.trial == narrowed && rate >= worthLess*p.rate:
		p.keep(rate)
		p.try(p.trial)
	case p.trial != steady:
		p.change(p.before)
		p.trial = steady
		p.resting = now.Add(p.rest)
		p.rest = min(2*p.rest, restLast)
	case changed || !now.Before(p.resting):
		p.keep(rate)
		p.down = !p.down && !changed
		if p.down && p.limit > min(paceLeast, p.most) && p.limit > 1 {
			p.try(narrowed)
		} else {
			p.try(widened)
		}
	}
}

func (p *pace) keep(rate float64) {
	p.rate = rate
	if p.trial != steady {
		p.rest = restFirst
	}
}

// try changes the limit to see what it brings, if it can go that way.
func (p *pace) try(t trial) {
	to := min(paceUp*p.limit, p.most)
	if t == narrowed {
		to = max(p.limit/paceDown, min(paceLeast, p.most))
	}
	p.trial, p.doubt = t, false
	if to == p.limit {
		p.trial = steady
		return
	}
	p.before = p.limit
	p.change(to)
}

// change sets the limit, and lets what was under way before it finish unmeasured.
func (p *pace) change(to int) {
	p.settling = min(p.limit, to)
	p.limit = to
}
