package delivery

import "time"

const (
	paceLeast = 16                     // workers that there may always be
	paceLook  = 10 * time.Millisecond  // how often the clock looks
	paceLong  = 40 * time.Millisecond  // what a measurement takes, for it is a noisy world
	paceGap   = 50 * time.Millisecond  // without a look, that void one: there was no work
	paceSlow  = 100 * time.Millisecond // a sink that takes longer gains by every worker
	paceQuick = 5 * time.Millisecond   // where a call takes less, no gain is taken for sure
	restFirst = 2 * time.Second        // between two trials; doubled while they are in vain
	restLast  = 16 * time.Second
	paceUp    = 4   // times the workers, in a trial upward
	paceDown  = 2   // the part of them, in a trial downward
	worthUp   = 1.4 // what paceUp times the workers must bring, seen from both sides
	worthDown = 1.2 // the same of paceDown times
	surely    = 3.0 // what leaves no doubt of a trial upward,
	wondrous  = 5.0 // unless it is more than so many workers can bring
	fallen    = 0.7 // the rate is another one, when it is so twice
)

// pace finds how many workers are worth having. A sink that waits, 20 ms say,
// needs as many as MaxInFlight allows; a fast one on a busy machine gains
// nothing beyond a few, and loses to ever more connections and goroutines. So
// pace tries: it raises or lowers the limit, and compares the rates of finished
// work. A machine that others use too has moods, and a rate that was low while
// they had it makes any trial after it look good. So more workers are kept only
// if what they bring is seen twice, when they come and when they go again, or
// go and come again; else fewer are. It measures only while work is waiting.
// While somebody is idle the rate may be the source's: that says nothing for
// more workers, but does for fewer. It decides about speed and nothing else.
// Guarded by the engine's lock.
type pace struct {
	limit, most int

	began    time.Time // the measurement; zero: with the next look
	looked   time.Time
	finished int  // since it began
	slack    bool // somebody was idle since then
	settling int  // to be finished before the measurement begins

	trial   trial
	proving bool    // back at the limit from before the trial
	other   int     // the limit that this one is compared with
	rate    float64 // of that one; without a trial, of this one when it was last compared
	last    float64 // of the last measurement, without a trial
	down    bool    // the last trial was downward
	rest    time.Duration
	resting time.Time // no trial before
}

type trial uint8

const (
	steady trial = iota
	widened
	narrowed
)

func newPace(most int) *pace {
	least := min(paceLeast, most)
	return &pace{limit: least, most: most, settling: least, rest: restFirst}
}

// done counts one attempt that ended; idle says that a worker found no work.
func (p *pace) done() { p.finished++ }
func (p *pace) idle() { p.slack = true }

// look judges what was measured, once it says enough. It is called every
// paceLook while work is waiting.
func (p *pace) look(now time.Time) {
	took, gap := now.Sub(p.began), now.Sub(p.looked)
	p.looked = now
	switch {
	case p.began.IsZero() || gap > paceGap:
		p.measure(now)
	case p.settling > 0:
		if p.finished >= p.settling || took >= paceSlow || p.trial == steady && took >= paceLong {
			p.settling = 0
			p.measure(now)
		}
	case p.finished >= p.limit && took >= paceLong || took >= paceSlow:
		p.judge(now, max(float64(p.finished), 1)/took.Seconds())
		p.measure(now)
	}
}

func (p *pace) measure(now time.Time) { p.began, p.finished, p.slack = now, 0, false }

// judge ends a trial, proves or begins one. Of a slow sink, one that took longer
// than was measured, the rate says nothing yet, and more workers are always right.
func (p *pace) judge(now time.Time, rate float64) {
	slow := p.finished < p.limit && !p.slack
	switch {
	case slow && p.trial == narrowed && !p.proving:
		p.conclude(now, rate, true, false)
		return
	case slow && (p.limit < p.most || p.trial == widened):
		p.rate, p.rest = rate, restFirst
		p.try(now, widened)
		return
	case p.trial == steady:
		p.consider(now, rate)
		return
	}
	more := (p.trial == widened) != p.proving
	gain := rate / p.rate // of the many to the few
	if !more {
		gain = p.rate / rate
	}
	switch {
	case gain < p.trial.worth():
		p.conclude(now, rate, more, p.trial == narrowed)
	case p.proving || p.sure(gain):
		p.conclude(now, rate, !more, p.trial == widened)
	default:
		p.proving = true
		p.swap(rate)
	}
}

func (t trial) worth() float64 {
	if t == narrowed {
		return worthDown
	}
	return worthUp
}

// sure reports whether the gain of a trial upward needs no proof, which delays a
// slow sink's workers. The rate of one that is about as slow as a measurement is
// long depends on when it began, and no mood makes a quick one so slow.
func (p *pace) sure(gain float64) bool {
	call := time.Duration(float64(p.other) / p.rate * float64(time.Second))
	return p.trial == widened && (call >= paceSlow/2 || call >= paceQuick && gain >= surely && gain <= wondrous)
}

// conclude ends a trial, with the limit that it ended with or the other one,
// and goes on in its direction if it was a success.
func (p *pace) conclude(now time.Time, rate float64, swap, success bool) {
	if swap {
		kept := p.rate
		p.swap(rate)
		rate = kept
	}
	p.rate = rate
	switch {
	case !success:
		p.end(now)
		p.rest = min(2*p.rest, restLast)
	case p.trial == widened && p.slack:
		p.rest = restFirst
		p.end(now) // there are enough
	default:
		p.rest = restFirst
		p.try(now, p.trial)
	}
}

// consider begins a trial when it is time for one, or when the rate fell to
// another one. It is compared with the better of two measurements: a stall of
// the machine in one must not make the trial look good.
func (p *pace) consider(now time.Time, rate float64) {
	before := p.last
	base := max(rate, before)
	p.last = rate
	changed := before > 0 && base < fallen*p.rate && !p.slack
	if !changed && now.Before(p.resting) {
		return
	}
	p.rate = base
	p.down = p.slack || !p.down && !changed
	if p.down && p.limit > min(paceLeast, p.most) {
		p.try(now, narrowed)
	} else if !p.slack {
		p.try(now, widened)
	}
}

// try changes the limit to see what it brings, if it can go that way.
func (p *pace) try(now time.Time, t trial) {
	to := min(paceUp*p.limit, p.most)
	if t == narrowed {
		to = max(p.limit/paceDown, min(paceLeast, p.most))
	}
	if to == p.limit {
		p.end(now)
		return
	}
	p.trial, p.proving, p.other = t, false, to
	p.swap(p.rate)
}

// end is the end of trials for now.
func (p *pace) end(now time.Time) {
	p.trial, p.proving = steady, false
	p.resting = now.Add(p.rest)
}

// swap goes to the other limit. What was under way before it finishes unmeasured,
// and so does what new workers begin with: they open connections. rate is that
// of the limit so far.
func (p *pace) swap(rate float64) {
	p.settling = max(p.limit, p.other)
	p.limit, p.other = p.other, p.limit
	p.rate, p.last = rate, 0
}
