package concurrency

import (
	"math/rand/v2"
	"time"
)

// destination is a simulated destination.
type destination struct {
	latency  time.Duration // of a call, beside what it waits for capacity
	jitter   float64       // a call takes latency, plus or minus up to this part of it
	tail     float64       // this part of the calls
	takes    time.Duration // takes so long
	capacity float64       // calls a second; 0: unbounded
	knee     int           // with more calls at once the capacity falls in proportion; 0: never
	hangs    bool
	source   float64 // events a second; 0: there is always work
}

// best is the highest rate that workers can reach.
func (d destination) best(workers int) float64 {
	if d.hangs {
		return 0
	}
	if d.knee > 0 {
		workers = min(workers, d.knee)
	}
	best := 1e9
	if call := (1-d.tail)*d.latency.Seconds() + d.tail*d.takes.Seconds(); call > 0 {
		best = float64(workers) / call
	}
	for _, bound := range []float64{d.capacity, d.source} {
		if bound > 0 {
			best = min(best, bound)
		}
	}
	return best
}

// noise is the share of its capacity that a destination has, for each look.
type noise func(r *rand.Rand) func() float64

// shared is a shared machine: a different share of it each second, and almost nothing
// for a tenth of the time.
func shared(r *rand.Rand) func() float64 {
	looks, part, stalled := 0, 1.0, 0
	return func() float64 {
		if looks%100 == 0 {
			part = 0.5 + 0.5*r.Float64()
		}
		looks++
		if stalled == 0 && r.IntN(100) == 0 {
			stalled = 5 + r.IntN(10)
		}
		now := part * (0.7 + 0.3*r.Float64())
		if stalled > 0 {
			stalled--
			now *= 0.15
		}
		return now
	}
}

// overcommitted is a machine that works in bursts of up to 0.3 s and almost stops for
// as long in between.
func overcommitted(r *rand.Rand) func() float64 {
	left, on := 0, false
	return func() float64 {
		if left == 0 {
			left, on = 2+r.IntN(28), !on
		}
		left--
		if on {
			return 0.5 + 0.5*r.Float64()
		}
		return 0.03
	}
}

const step = time.Millisecond / 2

// simulation runs a limit with a destination. Calls wait for capacity in a queue.
type simulation struct {
	limit   *Limit
	now     time.Time
	rand    *rand.Rand
	noise   func() float64
	busy    int
	waiting []Round         // calls that wait for capacity
	ends    map[int][]Round // calls by the step in which they end
	steps   int
	backlog float64
	credit  float64 // calls that may take capacity

	done, best float64
}

func newSimulation(seed uint64, n noise) *simulation {
	s := &simulation{limit: New(16, 1024), now: time.Unix(1, 0), rand: rand.New(rand.NewPCG(seed, 0)), ends: map[int][]Round{}} //nolint:gosec // repeatable
	s.noise = func() float64 { return 1 }
	if n != nil {
		s.noise = n(s.rand)
	}
	return s
}

// run simulates a duration and calls watch after each look.
func (s *simulation) run(d destination, length time.Duration, watch func(workers int)) {
	part := s.noise()
	for range int(length / step) {
		s.steps++
		s.now = s.now.Add(step)
		s.backlog = min(s.backlog+d.source*step.Seconds(), 1024)
		if d.source == 0 {
			s.backlog = 1e6
		}
		s.end(s.ends[s.steps])
		delete(s.ends, s.steps)
		s.begin()
		if !d.hangs {
			s.serve(d, d.capacity*part)
		}
		noisy := d
		noisy.capacity *= part
		s.best += noisy.best(1024) * step.Seconds()
		if s.steps%int(LookEvery/step) == 0 {
			if s.backlog >= 1 && s.busy >= s.limit.Workers() {
				s.limit.Look(s.now)
			}
			watch(s.limit.Workers())
			part = s.noise()
		}
	}
}

func (s *simulation) begin() {
	for s.busy < s.limit.Workers() && s.backlog >= 1 {
		s.busy++
		s.backlog--
		s.waiting = append(s.waiting, s.limit.Begin())
	}
}

func (s *simulation) end(calls []Round) {
	for _, r := range calls {
		s.limit.End(r, 1)
	}
	s.busy -= len(calls)
	s.done += float64(len(calls))
}

// serve lets waiting calls use the capacity.
func (s *simulation) serve(d destination, capacity float64) {
	if d.knee > 0 {
		capacity *= min(1, float64(d.knee)/float64(max(1, s.busy)))
	}
	s.credit = min(s.credit+capacity*step.Seconds(), max(1, 2*capacity*step.Seconds()))
	if d.capacity == 0 {
		s.credit = 1e9
	}
	for s.credit >= 1 && len(s.waiting) > 0 {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.credit--
		takes := time.Duration(float64(d.latency) * (1 + d.jitter*(2*s.rand.Float64()-1)))
		if d.tail > 0 && s.rand.Float64() < d.tail {
			takes = d.takes
		}
		if takes == 0 {
			s.end([]Round{r})
			s.begin()
			continue
		}
		at := s.steps + max(1, int(takes/step))
		s.ends[at] = append(s.ends[at], r)
	}
}
