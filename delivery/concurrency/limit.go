package concurrency

import "time"

// LookEvery is how often Look is called while work is waiting.
const LookEvery = 10 * time.Millisecond

const (
	minMeasured  = 40 * time.Millisecond  // the shortest measurement, against noise
	maxGap       = 50 * time.Millisecond  // between two looks; a longer one voids the measurement: there was no work
	maxMeasured  = 100 * time.Millisecond // a destination that takes longer gains by every worker
	quickCall    = 5 * time.Millisecond   // where a call takes less, no gain is certain
	minPause     = 2 * time.Second        // between two trials; doubled while they are in vain
	maxPause     = 16 * time.Second
	growFactor   = 4   // times the workers, in a trial of more
	shrinkFactor = 2   // the part of them, in a trial of fewer
	minGrowGain  = 1.4 // what growFactor times the workers must bring, measured coming and going
	minLoss      = 1.2 // the same for shrinkFactor times fewer
	certainGain  = 3.0 // a gain of a trial of more that needs no proof,
	maxGain      = 5.0 // unless it is more than so many workers can bring
	changedRate  = 0.7 // a rate below this part of the one before, twice, is another one
)

// Limit is how many workers are worth having for one destination: see the package
// comment. It has no lock, starts no goroutine and reads no clock.
type Limit struct {
	least, most, workers int
	ceiling              int // at most so many now; most, but after an overload

	began    time.Time // of the measurement; zero: it begins with the next look
	looked   time.Time // the last look
	finished int       // calls since it began
	idleSeen bool      // a worker was idle since it began
	warmUp   int       // calls to finish before the measurement begins

	trial     trial
	proving   bool    // back at the limit from before the trial
	other     int     // the limit that this one is compared with
	rate      float64 // of the other; without a trial, of this one when it was last compared
	lastRate  float64 // of the last measurement, without a trial
	shrank    bool    // the last trial was of fewer workers
	pause     time.Duration
	nextTrial time.Time // no trial before

	raised time.Time     // the ceiling, last; zero: there was no work since the overload
	relief time.Duration // before the ceiling is raised
}

type trial uint8

const (
	steady trial = iota
	more
	fewer
)

// New returns a limit that begins with the fewest workers. There are never fewer
// than least, or than most if that is smaller, and never more than most.
func New(least, most int) *Limit {
	least = min(least, most)
	return &Limit{least: least, most: most, ceiling: most, workers: least, warmUp: least, pause: minPause}
}

// Workers is how many calls may be under way at once.
func (l *Limit) Workers() int { return l.workers }

// Finished notes that a call ended.
func (l *Limit) Finished() { l.finished++ }

// Idle notes that a worker found no work.
func (l *Limit) Idle() { l.idleSeen = true }

// Overloaded notes that the destination no longer answers, perhaps because of so
// many calls at once. The limit begins again with the fewest workers. It stays
// below a quarter of calls for a while, which is longer each time that this happens
// soon again: a destination that does a hundred calls a second and is asked for a
// thousand lets all of them time out, and their retries as well (Bronson et al.,
// Metastable Failures in Distributed Systems, HotOS 2021).
func (l *Limit) Overloaded(now time.Time, calls int) {
	relief, ceiling := l.relief, min(l.ceiling, max(l.least, calls/growFactor))
	switch {
	case now.Sub(l.raised) < 2*maxPause:
		relief = min(2*relief, maxPause)
	case l.ceiling == l.most:
		relief = minPause
	}
	*l = *New(l.least, l.most)
	l.relief, l.ceiling = relief, ceiling
}

// raise raises the ceiling when it is time for it.
func (l *Limit) raise(now time.Time) {
	switch {
	case l.ceiling == l.most:
	case l.raised.IsZero():
		l.raised = now
	case now.Sub(l.raised) >= l.relief:
		l.ceiling, l.raised = min(growFactor*l.ceiling, l.most), now
	}
}

// Look judges what was measured, once it says enough, and sets the limit. It is
// called every LookEvery while work is waiting.
func (l *Limit) Look(now time.Time) {
	took, gap := now.Sub(l.began), now.Sub(l.looked)
	l.looked = now
	l.raise(now)
	switch {
	case l.began.IsZero() || gap > maxGap:
		l.measure(now)
	case l.warmUp > 0:
		if l.finished >= l.warmUp || took >= maxMeasured || l.trial == steady && took >= minMeasured {
			l.warmUp = 0
			l.measure(now)
		}
	case l.finished >= l.workers && took >= minMeasured || took >= maxMeasured:
		l.judge(now, max(float64(l.finished), 1)/took.Seconds())
		l.measure(now)
	}
}

func (l *Limit) measure(now time.Time) { l.began, l.finished, l.idleSeen = now, 0, false }

// judge ends a trial, proves or begins one. Of a slow sink, one that took longer
// than was measured, the rate says nothing yet, and more workers are always right.
func (l *Limit) judge(now time.Time, rate float64) {
	slow := l.finished < l.workers && !l.idleSeen
	switch {
	case slow && l.trial == fewer && !l.proving:
		l.endTrial(now, rate, true, false)
		return
	case slow && (l.workers < l.ceiling || l.trial == more):
		l.rate, l.pause = rate, minPause
		l.try(now, more)
		return
	case l.trial == steady:
		l.consider(now, rate)
		return
	}
	many := (l.trial == more) != l.proving
	gain := rate / l.rate // of the many to the few
	if !many {
		gain = l.rate / rate
	}
	switch {
	case gain < l.trial.minGain():
		l.endTrial(now, rate, many, l.trial == fewer)
	case l.proving || l.sure(gain):
		l.endTrial(now, rate, !many, l.trial == more)
	default:
		l.proving = true
		l.swap(rate)
	}
}

func (t trial) minGain() float64 {
	if t == fewer {
		return minLoss
	}
	return minGrowGain
}

// sure reports whether the gain of a trial upward needs no proof, which delays a
// slow sink's workers. The rate of one that is about as slow as a measurement is
// long depends on when it began, and no mood makes a quick one so slow.
func (l *Limit) sure(gain float64) bool {
	call := time.Duration(float64(l.other) / l.rate * float64(time.Second))
	return l.trial == more && (call >= maxMeasured/2 || call >= quickCall && gain >= certainGain && gain <= maxGain)
}

// endTrial ends a trial, with the limit that it ended with or the other one,
// and goes on in its direction if it was a success.
func (l *Limit) endTrial(now time.Time, rate float64, swap, success bool) {
	if swap {
		kept := l.rate
		l.swap(rate)
		rate = kept
	}
	l.rate = rate
	switch {
	case !success:
		l.end(now)
		l.pause = min(2*l.pause, maxPause)
	case l.trial == more && l.idleSeen:
		l.pause = minPause
		l.end(now) // there are enough
	default:
		l.pause = minPause
		l.try(now, l.trial)
	}
}

// consider begins a trial when it is time for one, or when the rate fell to
// another one. It is compared with the better of two measurements: a stall of
// the machine in one must not make the trial look good.
func (l *Limit) consider(now time.Time, rate float64) {
	before := l.lastRate
	base := max(rate, before)
	l.lastRate = rate
	changed := before > 0 && base < changedRate*l.rate && !l.idleSeen
	if !changed && now.Before(l.nextTrial) {
		return
	}
	l.rate = base
	l.shrank = l.idleSeen || !l.shrank && !changed
	if l.shrank && l.workers > l.least {
		l.try(now, fewer)
	} else if !l.idleSeen {
		l.try(now, more)
	}
}

// try changes the limit to see what it brings, if it can go that way.
func (l *Limit) try(now time.Time, t trial) {
	to := min(growFactor*l.workers, l.ceiling)
	if t == fewer {
		to = max(l.workers/shrinkFactor, l.least)
	}
	if to == l.workers {
		l.end(now)
		return
	}
	l.trial, l.proving, l.other = t, false, to
	l.swap(l.rate)
}

// end is the end of trials for now.
func (l *Limit) end(now time.Time) {
	l.trial, l.proving = steady, false
	l.nextTrial = now.Add(l.pause)
}

// swap goes to the other limit. What was under way before it finishes unmeasured,
// and so does what new workers begin with: they open connections. rate is that
// of the limit so far.
func (l *Limit) swap(rate float64) {
	l.warmUp = max(l.workers, l.other)
	l.workers, l.other = l.other, l.workers
	l.rate, l.lastRate = rate, 0
}
