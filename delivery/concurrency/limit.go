package concurrency

import "time"

// LookEvery is how often Look is called while work is waiting.
const LookEvery = 10 * time.Millisecond

const (
	maxGap     = 5 * LookEvery          // between two looks; after a longer gap the round begins anew
	minRound   = 2 * LookEvery          // the shortest time from which a rate is computed
	rateRounds = 8                      // the best rate is that of so many rounds
	gain       = 2.5                    // workers for each that is needed, so that a faster destination is noticed
	hungAfter  = 100 * time.Millisecond // without an answer, if calls took less than half of it before
	hungGain   = 4

	probeTime     = 6 * LookEvery    // for which a probe measures at least
	firstProbe    = time.Second      // after the start, from which a first cost is taken in a hurry
	probeInterval = 10 * time.Second // at least
	probeShare    = 100              // at most this part of the time is spent on probes
)

// Limit is how many workers are worth having for one destination. It has no lock,
// starts no goroutine and reads no clock.
type Limit struct {
	least, most, workers int

	calls  int   // under way
	round  Round // the number of the current round
	recent int   // calls under way that began in the round before
	old    int   // calls under way that began earlier still

	began, looked       time.Time // the round, the last look
	looks, seen         int       // in the round, and the calls under way at each of them
	ended, events       int       // calls, and what they carried
	latency             time.Duration
	rates               [rateRounds]float64 // events a second of the last rounds
	cost                float64             // worker-seconds of an event without a queue; 0: unknown
	probe               probe
	probeBegan, probeAt time.Time
	before              int // workers before the probe
	draining            int // calls that end before a probe measures
}

// Round is the round of measurement in which a call began.
type Round uint32

type probe uint8

const (
	noProbe probe = iota
	draining
	measuring
)

// New returns a limit that begins with the fewest workers. There are never fewer
// than least, or than most if that is smaller, and never more than most.
func New(least, most int) *Limit {
	least = min(least, most)
	return &Limit{least: least, most: most, workers: least}
}

// Workers is how many calls may be under way at once.
func (l *Limit) Workers() int { return l.workers }

// Begin notes that a call began. What it returns is handed to End.
func (l *Limit) Begin() Round {
	l.calls++
	return l.round
}

// End notes that a call ended that began in that round and carried so many events.
func (l *Limit) End(r Round, events int) {
	l.calls--
	l.ended++
	l.events += events
	switch l.round - r {
	case 0:
	case 1:
		l.recent--
	default:
		l.old--
	}
}

// Look ends the round if it says enough, and sets the limit. It is called every
// LookEvery while more work is waiting than the workers are busy with.
func (l *Limit) Look(now time.Time) {
	gap, took := now.Sub(l.looked), now.Sub(l.began)
	l.looked = now
	l.looks++
	l.seen += l.calls
	switch {
	case gap > maxGap:
		l.measure(now)
	case l.ended == 0:
		if took >= max(hungAfter, 2*l.latency) && l.calls >= l.workers {
			l.hung(now)
			l.measure(now)
		}
	case took < minRound || l.ended < l.calls-l.old:
	case l.probe == draining && l.ended < l.draining || l.probe == measuring && took < probeTime:
	default:
		l.judge(now, took)
		l.nextRound(now)
	}
}

func (l *Limit) measure(now time.Time) {
	l.began, l.looks, l.seen, l.ended, l.events = now, 0, 0, 0, 0
}

func (l *Limit) nextRound(now time.Time) {
	l.measure(now)
	l.old += l.recent
	l.recent = l.calls - l.old
	l.round++
	if l.probe == measuring {
		l.set(l.least)
	}
}

// hung gives a destination more workers that does not answer.
func (l *Limit) hung(now time.Time) {
	if l.probe != noProbe {
		l.probe, l.workers, l.probeAt = noProbe, l.before, now.Add(probeInterval)
		return
	}
	l.workers = min(hungGain*l.workers, l.most)
	l.cost, l.probeAt = 0, time.Time{}
}

func (l *Limit) set(n int) { l.workers = max(l.least, min(n+l.old, l.most)) }

// judge computes the limit from a round.
func (l *Limit) judge(now time.Time, took time.Duration) {
	calls := float64(l.seen) / float64(l.looks)
	busy := max(1, calls-float64(l.old))
	rate := float64(l.events) / took.Seconds()
	l.latency = time.Duration(calls / float64(l.ended) * float64(took))
	switch {
	case l.probe == draining:
		l.probe = measuring
		return
	case l.probe == measuring:
		l.probe, l.cost = noProbe, busy/rate
		l.probeAt = now.Add(max(probeInterval, probeShare*now.Sub(l.probeBegan)))
	case l.cost == 0 && l.workers == l.least:
		l.cost, l.probeAt = busy/rate, now.Add(firstProbe)
	case now.After(l.probeAt):
		l.startProbe(now)
		return
	}
	copy(l.rates[1:], l.rates[:])
	l.rates[0] = rate
	if l.cost == 0 {
		return
	}
	best := 0.0
	for _, r := range l.rates {
		best = max(best, r)
	}
	n := int(gain * best * l.cost)
	if n <= l.least && busy > float64(l.least) {
		l.startProbe(now)
		return
	}
	l.set(n)
}

func (l *Limit) startProbe(now time.Time) {
	l.probe, l.probeBegan, l.before, l.draining = draining, now, l.workers, l.calls-l.old
	l.set(l.least)
}
