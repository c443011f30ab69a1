package concurrency

import "time"

// LookEvery is how often Look is called while work is waiting.
const LookEvery = 10 * time.Millisecond

const (
	// maxGap is the time between two looks after which the round begins anew.
	maxGap = 5 * LookEvery
	// minRound is the shortest round.
	minRound = 2 * LookEvery
	// rateRounds is how many rounds back the best rate is looked for.
	rateRounds = 8
	// gain is how many times the workers that are needed are allowed. The rest
	// shows whether more workers bring more. BBR has 2, and 2.89 at the start.
	gain = 2.5
	// minGain is what more workers than the fewest must bring, as seen in
	// flatRounds rounds. Both are BBR's, which so finds that a pipe is full.
	minGain    = 1.25
	flatRounds = 3

	// hungAfter is how long no call ends before there are more workers. It is
	// longer where calls took more than half of it.
	hungAfter = 100 * time.Millisecond
	hungGain  = 4

	// trialInterval is the time to the next trial, or trialPause times what the
	// last one took: it costs a slow destination nearly all of its rate. The
	// first one comes after trialPause times the first round.
	trialInterval = 10 * time.Second
	trialPause    = 100
	// minTrial is the shortest time for which a trial measures.
	minTrial = 6 * LookEvery
)

// Limit is how many workers are worth having for one destination. It has no lock,
// starts no goroutine and reads no clock.
type Limit struct {
	least, most, workers int

	// Calls under way; those of them that began in the round before this one, and
	// those that began earlier still and count as stuck.
	calls, recent, stuck int

	round         Round
	began, looked time.Time // the round; the last look
	looks, seen   int       // looks in the round, and the sum of the calls under way at them
	ended, events int       // calls that ended in the round, and the events they carried

	latency  time.Duration       // of a call in the last round
	rates    [rateRounds]float64 // events a second
	cost     float64             // worker-seconds of an event where none queues; 0: unknown
	lastCost float64             // as the last trial found it
	flat     int                 // rounds in a row in which more than the fewest workers brought too little

	trial      trial
	trialBegan time.Time
	trialAt    time.Time // the next one
	before     int       // workers before the trial
	toDrain    int       // calls that must end before the trial measures
}

// Round names the round of measurement in which a call began.
type Round uint32

// trial is the state of a trial.
type trial uint8

const (
	noTrial   trial = iota
	draining        // calls from before it end
	measuring       // only the fewest calls are under way
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
		l.stuck--
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
		l.judge(now, took)
		l.nextRound(now)
	}
}

// measure begins the round anew.
func (l *Limit) measure(now time.Time) {
	l.began, l.looks, l.seen, l.ended, l.events = now, 0, 0, 0, 0
}

// nextRound begins the next round. A round is long enough for every worker to end
// a call, so a call that began two rounds ago takes longer than others.
func (l *Limit) nextRound(now time.Time) {
	l.measure(now)
	l.stuck += l.recent
	l.recent = l.calls - l.stuck
	l.round++
	if l.trial == measuring {
		l.set(l.least)
	}
}

// hung allows more workers, as no call ended for long: the destination hangs, or
// it is slower than any round.
func (l *Limit) hung(now time.Time) {
	if l.giveUpTrial(now) {
		return
	}
	l.workers = min(hungGain*l.workers, l.most)
	l.cost, l.lastCost, l.trialAt = 0, 0, time.Time{}
}

// giveUpTrial returns to the workers from before a trial, if there is one.
func (l *Limit) giveUpTrial(now time.Time) bool {
	if l.trial == noTrial {
		return false
	}
	l.trial, l.workers, l.trialAt = noTrial, l.before, now.Add(trialInterval)
	return true
}

// set allows n workers, and one for each call that is stuck.
func (l *Limit) set(n int) { l.workers = max(l.least, min(n+l.stuck, l.most)) }

// judge computes the limit from a round that is over.
func (l *Limit) judge(now time.Time, took time.Duration) {
	calls := float64(l.seen) / float64(l.looks)
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
	case l.cost == 0 && l.workers == l.least:
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
	case learned || busy > float64(l.least):
		l.allow(best*l.cost, busy)
	case busy > gain*best*l.cost: // calls take much longer than they did
		l.lastCost = 0
		l.startTrial(now)
	}
}

// allow sets the limit, of which so many workers are needed. Once more than the
// fewest bring less than a quarter more for a few rounds, the fewest are enough.
func (l *Limit) allow(needed, busy float64) {
	if busy <= float64(l.least) || needed > minGain*float64(l.least) {
		l.flat = 0
	} else if l.flat++; l.flat >= flatRounds {
		l.set(l.least)
		return
	}
	l.set(max(int(gain*needed), int(gain*float64(l.least))))
}

// learn takes the better of the last two costs: one may be of a moment at which
// the machine was busy elsewhere.
func (l *Limit) learn(cost float64) {
	l.cost = cost
	if l.lastCost > 0 {
		l.cost = min(cost, l.lastCost)
	}
	l.lastCost = cost
}

// startTrial goes down to the fewest workers beside the calls that are stuck.
func (l *Limit) startTrial(now time.Time) {
	l.trial, l.trialBegan, l.before, l.toDrain = draining, now, l.workers, l.calls-l.stuck
	l.set(l.least)
}
