package concurrency

import (
	"testing"
	"time"
)

const ms = time.Millisecond

var (
	sink20ms = destination{latency: 20 * ms}
	cpuBound = destination{capacity: 20_000}
	hanging  = destination{hangs: true}
)

// Each destination comes after another one, or from the start, with a few seeds if it is
// random.
func TestLimit_findsTheWorkersThatAreWorthHaving(t *testing.T) {
	tests := []struct {
		name      string
		before    destination
		beforeFor time.Duration
		is        destination
		noise     noise
		length    time.Duration
		share     float64       // of the best rate, at least
		fewest    float64       // workers on average
		most      float64       // workers on average
		reached   int           // workers
		within    time.Duration // of its beginning
	}{
		{name: "a 20 ms sink gains by every worker", is: sink20ms, share: .98, fewest: 990, most: 1024, reached: 1024, within: 250 * ms},
		{name: "calls of 6 to 34 ms", is: destination{latency: 20 * ms, jitter: .7}, share: .98, fewest: 990, most: 1024, reached: 1024, within: 250 * ms},
		{name: "a sink of a second", is: destination{latency: time.Second}, length: time.Minute, share: .9, fewest: 920, most: 1024, reached: 1024, within: 400 * ms},
		{name: "a sink that hangs has all workers", is: hanging, fewest: 0, most: 1024, reached: 1024, within: 400 * ms},
		{name: "one call of a hundred takes 5 s", is: destination{latency: 20 * ms, tail: .01, takes: 5 * time.Second}, share: .9, fewest: 800, most: 1024},
		{name: "one call of ten takes 200 ms", is: destination{latency: 20 * ms, tail: .1, takes: 200 * ms}, share: .95, fewest: 980, most: 1024, reached: 1024, within: 400 * ms},
		{name: "a machine that is busy with a few", is: cpuBound, share: .99, fewest: 16, most: 48},
		{name: "a quick sink that needs 5", is: destination{latency: ms / 2, capacity: 10_000}, share: .99, fewest: 16, most: 48},
		{name: "a sink that needs 40", is: destination{latency: 20 * ms, capacity: 2000}, share: .98, fewest: 40, most: 110, reached: 40, within: 100 * ms},
		{name: "a sink that needs 150", is: destination{latency: 150 * ms, capacity: 1000}, share: .93, fewest: 150, most: 450},
		{name: "a sink that more than 100 slow down", is: destination{latency: 10 * ms, capacity: 10_000, knee: 100}, share: .55, fewest: 80, most: 200},
		{name: "a source that needs 100", is: destination{latency: 20 * ms, source: 5000}, share: .99, fewest: 100, most: 500, reached: 100, within: 200 * ms},
		{name: "a slow sink turns fast", before: sink20ms, beforeFor: 12 * time.Second, is: cpuBound, share: .99, fewest: 16, most: 570}, // it takes up to 10 s,
		{name: "a fast sink turns slow", before: cpuBound, beforeFor: 12 * time.Second, is: sink20ms, share: .95, fewest: 970, most: 1024, reached: 1024, within: 600 * ms},
		{name: "a sink that hung turns fast", before: hanging, beforeFor: 3 * time.Second, is: cpuBound, share: .99, fewest: 16, most: 60},
		{name: "a sink that hung needs 40", before: hanging, beforeFor: 3 * time.Second, is: destination{latency: 20 * ms, capacity: 2000}, share: .98, fewest: 40, most: 150},
		{name: "a shared machine that is busy with a few", is: cpuBound, noise: shared, share: .99, fewest: 16, most: 150},
		{name: "a 20 ms sink on a shared machine", is: destination{latency: 20 * ms, capacity: 50_000}, noise: shared, share: .97, fewest: 900, most: 1024, reached: 1024, within: 600 * ms},
		{name: "an overcommitted machine that is busy with a few", is: cpuBound, noise: overcommitted, share: .99, fewest: 16, most: 600},
	}
	seeds := uint64(10)
	if testing.Short() {
		seeds = 1
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range seeds {
				s := newSimulation(seed, tc.noise)
				s.run(tc.before, tc.beforeFor, func(int) {})
				s.done, s.best = 0, 0
				sum, looks, reached := 0, 0, time.Duration(-1)
				length := tc.length
				if length == 0 {
					length = 20 * time.Second
				}
				s.run(tc.is, length, func(workers int) {
					looks++
					sum += workers
					if reached < 0 && workers >= tc.reached {
						reached = time.Duration(looks) * LookEvery
					}
				})
				if s.done < tc.share*s.best {
					t.Errorf("seed %d: %.1f %% of the best rate, want at least %.1f", seed, 100*s.done/s.best, 100*tc.share)
				}
				if mean := float64(sum) / float64(looks); mean < tc.fewest || mean > tc.most {
					t.Errorf("seed %d: %.0f workers on average, want %.0f to %.0f", seed, mean, tc.fewest, tc.most)
				}
				if tc.within > 0 && (reached < 0 || reached > tc.within) {
					t.Errorf("seed %d: %d workers after %s, want within %s", seed, tc.reached, reached, tc.within)
				}
				if tc.noise == nil && tc.is.jitter == 0 && tc.is.tail == 0 {
					return
				}
			}
		})
	}
}

// Look is not called between two bursts. That does not lower the limit for the next
// one, except for the burst in which a trial began.
func TestLimit_keepsWhatBurstsNeed(t *testing.T) {
	s := newSimulation(0, nil)
	s.run(sink20ms, time.Second, func(int) {})
	low := 0
	for range 300 {
		s.run(sink20ms, 3*LookEvery, func(int) {})
		if s.limit.Workers() < 1024 {
			low++
		}
		s.now = s.now.Add(2 * maxGap)
	}
	if low > 5 {
		t.Errorf("after %d of 300 bursts there were fewer than 1024 workers, want at most 5", low)
	}
}

// A trial ends although more calls hang than it leaves workers.
func TestLimit_measuresBesideCallsThatHang(t *testing.T) {
	s := newSimulation(0, nil)
	s.run(destination{latency: 20 * ms, tail: .1, takes: time.Hour}, 500*ms, func(int) {})
	s.done, s.best = 0, 0
	stuck := s.limit.stuck
	s.run(sink20ms, 30*time.Second, func(int) {})
	if stuck < 100 {
		t.Fatalf("%d calls are stuck, want more than 100", stuck)
	}
	if can := s.best * float64(1024-s.limit.stuck) / 1024; s.done < .97*can {
		t.Errorf("%.1f %% of what the others can do, want at least 97", 100*s.done/can)
	}
}

func TestLimit_staysWithinItsBounds(t *testing.T) {
	for _, most := range []int{1, 3, 16, 17} {
		s := newSimulation(0, nil)
		s.limit = New(16, most)
		for _, d := range []destination{{latency: time.Second}, cpuBound, {latency: ms}, hanging, cpuBound} {
			s.run(d, 15*time.Second, func(workers int) {
				if workers < min(most, 16) || workers > most {
					t.Fatalf("%d workers of at most %d", workers, most)
				}
			})
		}
	}
}

func TestLimit_countsEventsNotCalls(t *testing.T) {
	now, l := time.Unix(1, 0), New(16, 1024)
	for range 10 { // batches get smaller with more workers, so more do not increase the rate
		for range 3 {
			l.Look(now)
			now = now.Add(LookEvery)
		}
		n := l.Workers()
		for range n {
			l.End(l.Begin(), 1600/n)
		}
		for l.calls < n {
			l.Begin()
		}
	}
	if l.Workers() > 128 {
		t.Errorf("%d workers, want at most 128", l.Workers())
	}
}
