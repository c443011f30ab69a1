package concurrency

import "time"

// LookEvery is how often Look is called while work is waiting.
const LookEvery = 10 * time.Millisecond

const (
	// maxGap is the time between two calls of Look after which the round
	// begins again.
	maxGap = 5 * LookEvery
	// minRound is the shortest round.
	minRound = 2 * LookEvery
	// rateRounds is how many rounds the best rate is taken from.
	rateRounds = 8
	// gain is the factor between the workers needed and the limit. The surplus
	// shows whether more workers increase the rate. BBR has 2, and 2.89 at the
	// start.
	gain = 2.5
	// minGain is the increase that more workers than the minimum must bring,
	// as seen in flatRounds rounds. Both are BBR's, which detects a full pipe
	// with them.
	minGain    = 1.25
	flatRounds = 3

	// hungAfter is how long no call ends before the limit grows; or twice the
	// duration of a call, if that is longer.
	hungAfter = 100 * time.Millisecond
	hungGain  = 4

	// trialInterval is the time to the next trial; or trialPause times the
	// duration of the last one, if that is longer, as a trial costs a slow
	// destination nearly all of its rate. The first trial comes after
	// trialPause times the first round.
	trialInterval = 10 * time.Second
	trialPause    = 100
	// minTrial is the shortest time that a trial measures.
	minTrial = 6 * LookEvery
)

// Limit is how many workers are useful for one destination. It has no lock,
// starts no goroutine and does not read the clock.
type Limit struct {
	minWorkers, maxWorkers, workers int

	// Calls under way; those that began in the previous round; and those that
	// began before it, which are stuck.
	calls, recent, stuck int

	round              Round
	began, lastLook    time.Time // the start of the round; the last call of Look
	lookCount, callSum int       // of Look in the round, and the sum of the calls under way at them
	ended, events      int       // calls that ended in the round, and the events they carried

	latency   time.Duration       // of a call in the last round
	rates     [rateRounds]float64 // events a second
	cost      float64             // worker-seconds of an event when none queues; 0: unknown
	lastCost  float64             // measured by the last trial
	flatCount int                 // rounds in a row in which more than minWorkers increased the rate too little

	trial         trial
	trialBegan    time.Time
	trialAt       time.Time // of the next trial
	workersBefore int       // the limit before the trial
	toDrain       int       // calls that must end before the trial measures
}

// Round names the round of measurement in which a call began.
type Round uint32

// trial is the state of a trial.
type trial uint8

const (
	noTrial   trial = iota
	draining        // calls from before the trial end
	measuring       // few calls are under way
)

// New returns a limit that starts at its minimum: least, or most if that is
// smaller. It never exceeds most.
func New(least, most int) *Limit {
	least = min(least, most)
	return &Limit{minWorkers: least, maxWorkers: most, workers: least}
}

// Workers is how many calls may be under way at once.
func (l *Limit) Workers() int { return l.workers }

// Begin notes that a call began. Its result is passed to End.
func (l *Limit) Begin() Round {
	l.calls++
	return l.round
}

// End notes that a call ended that began in round r and carried that many
// events.
func (l *Limit) End(r Round, events int) {
	l.calls--
	l.ended++
	l.events += events
	switch l.round - r {
	case 0:
	case 1:
		l.recent--
	default:
		l.stuck--
	}
}

// Look ends the round if it has measured enough, and sets the limit. It is
// called every LookEvery while more work is waiting than the workers can do.
func (l *Limit) Look(now time.Time) {
	gap, took := now.Sub(l.lastLook), now.Sub(l.began)
	l.lastLook = now
	l.lookCount++
	l.callSum += l.calls
	switch {
	case gap > maxGap:
		l.giveUpTrial(now)
		l.measure(now)
	case l.ended == 0:
		if took >= max(hungAfter, 2*l.latency) && l.calls >= l.workers {
			l.hung(now)
			l.measure(now)
		}
	case took < minRound || l.ended < l.calls-l.stuck:
	case l.trial == draining && l.ended < l.toDrain || l.trial == measuring && took < minTrial:
	default:
		l.evaluate(now, took)
		l.nextRound(now)
	}
}

// measure starts the measurements of the round again.
func (l *Limit) measure(now time.Time) {
	l.began, l.lookCount, l.callSum, l.ended, l.events = now, 0, 0, 0, 0
}

// nextRound begins the next round. A round is long enough for every worker to
// end a call, so a call that began two rounds ago takes longer than the others.
func (l *Limit) nextRound(now time.Time) {
	l.measure(now)
	l.stuck += l.recent
	l.recent = l.calls - l.stuck
	l.round++
	if l.trial == measuring {
		l.set(l.minWorkers)
	}
}

// hung raises the limit when no call has ended for long: the destination hangs,
// or it is slower than any round.
func (l *Limit) hung(now time.Time) {
	if l.giveUpTrial(now) {
		return
	}
	l.workers = min(hungGain*l.workers, l.maxWorkers)
	l.cost, l.lastCost, l.trialAt = 0, 0, time.Time{}
}

// giveUpTrial aborts a trial, if there is one, and restores the limit from
// before it.
func (l *Limit) giveUpTrial(now time.Time) bool {
	if l.trial == noTrial {
		return false
	}
	l.trial, l.workers, l.trialAt = noTrial, l.workersBefore, now.Add(trialInterval)
	return true
}

// set sets the limit to n, plus one for each stuck call.
func (l *Limit) set(n int) { l.workers = max(l.minWorkers, min(n+l.stuck, l.maxWorkers)) }

// evaluate computes the limit from a round that ended.
func (l *Limit) evaluate(now time.Time, took time.Duration) {
	calls := float64(l.callSum) / float64(l.lookCount)
	busy := max(1, calls-float64(l.stuck))
	rate := float64(max(1, l.events)) / took.Seconds()
	l.latency = time.Duration(calls / float64(l.ended) * float64(took))
	learned := true
	switch {
	case l.trial == draining:
		l.trial = measuring
		return
	case l.trial == measuring:
		l.trial = noTrial
		l.learn(busy / rate)
		l.trialAt = now.Add(max(trialInterval, trialPause*now.Sub(l.trialBegan)))
	case l.cost == 0 && l.workers == l.minWorkers:
		l.learn(busy / rate)
		l.trialAt = now.Add(trialPause * took)
	case now.After(l.trialAt):
		l.startTrial(now)
		return
	default:
		learned = false
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
	switch {
	case learned || busy > float64(l.minWorkers):
		l.allow(best*l.cost, busy)
	case busy > gain*best*l.cost: // calls take much longer than before
		l.lastCost = 0
		l.startTrial(now)
	}
}

// allow sets the limit from the workers needed. It sets the minimum if more
// workers have increased the rate by less than a quarter for a few rounds.
func (l *Limit) allow(needed, busy float64) {
	if busy <= float64(l.minWorkers) || needed > minGain*float64(l.minWorkers) {
		l.flatCount = 0
	} else if l.flatCount++; l.flatCount >= flatRounds {
		l.set(l.minWorkers)
		return
	}
	l.set(max(int(gain*needed), int(gain*float64(l.minWorkers))))
}

// learn keeps the lower of the last two costs: one may have been measured while
// the machine was busy elsewhere.
func (l *Limit) learn(cost float64) {
	l.cost = cost
	if l.lastCost > 0 {
		l.cost = min(cost, l.lastCost)
	}
	l.lastCost = cost
}

// startTrial lowers the limit to the minimum, plus one for each stuck call.
func (l *Limit) startTrial(now time.Time) {
	l.trial, l.trialBegan, l.workersBefore, l.toDrain = draining, now, l.workers, l.calls-l.stuck
	l.set(l.minWorkers)
}
