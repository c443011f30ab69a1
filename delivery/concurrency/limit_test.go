package concurrency

import (
	"math/rand/v2"
	"testing"
	"time"
)

// drive looks at a limit for a while, every LookEvery, while rate says how much
// is finished in a second with so many workers.
func drive(p *Limit, now *time.Time, d time.Duration, rate func(workers int) float64) {
	for end := now.Add(d); now.Before(end); *now = now.Add(LookEvery) {
		n := rate(p.workers) * LookEvery.Seconds()
		for range int(n) {
			p.Finished()
		}
		p.Look(*now)
	}
}

// least is how many workers there are at least.
const least = 16

func slowSink(latency time.Duration) func(int) float64 {
	return func(workers int) float64 { return float64(workers) / latency.Seconds() }
}

func busyMachine(int) float64 { return 100_000 }

func TestLimit_givesASlowSinkAllWorkersWithinAMoment(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	drive(p, &now, 200*time.Millisecond, slowSink(20*time.Millisecond))
	if p.workers != 1024 {
		t.Errorf("limit %d after a fifth of a second of a 20 ms sink, want 1024", p.workers)
	}
	drive(p, &now, time.Minute, slowSink(20*time.Millisecond))
	if p.workers < 512 {
		t.Errorf("limit %d after a minute, want it kept but for a trial", p.workers)
	}
}

func TestLimit_givesAHungSinkAllWorkers(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	drive(p, &now, time.Second, func(int) float64 { return 0 })
	if p.workers != 1024 {
		t.Errorf("limit %d, want 1024", p.workers)
	}
}

func TestLimit_keepsAFewWorkersWhereMoreBringNothing(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	most, looks := 0, 0
	for range 60 * 100 {
		drive(p, &now, LookEvery, busyMachine)
		if p.workers > least {
			looks++
		}
		most = max(most, p.workers)
	}
	if most > growFactor*least || looks > 60 {
		t.Errorf("limit went up to %d, and was over %d for %d of 6000 looks", most, least, looks)
	}
}

func TestLimit_comesDownWhenASlowSinkTurnsFast(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
	p, now := New(16, 1024), time.Now()
	drive(p, &now, 10*time.Second, slowSink(20*time.Millisecond))
	drive(p, &now, 5*time.Minute, busyMachine)
	if p.workers > 2*least*growFactor {
		t.Errorf("limit %d after five minutes of a fast sink", p.workers)
	}
	drive(p, &now, 5*time.Second, slowSink(20*time.Millisecond))
	if p.workers < 512 {
		t.Errorf("limit %d after the sink turned slow again", p.workers)
	}
}

// moody is a machine that others use too: what it does in a second is another
// part of 50,000 each second, and for a tenth of the time next to nothing.
func moody(seed uint64, rate func(int) float64) func(int) float64 {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test that can be repeated
	looks, mood, stalled := 0, 1.0, 0
	return func(workers int) float64 {
		if looks%100 == 0 {
			mood = 0.5 + 0.5*r.Float64()
		}
		looks++
		if stalled == 0 && r.IntN(100) == 0 {
			stalled = 5 + r.IntN(10)
		}
		part := mood * (0.7 + 0.3*r.Float64())
		if stalled > 0 {
			stalled--
			part *= 0.15
		}
		return min(rate(workers), 50_000*part)
	}
}

// A trial after a stall looks good whatever it tries: it must not bring more
// workers to a sink that gains nothing by them, nor take them from one that does.
func TestLimit_isNotTakenInByAMoodyMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
	const seeds, looks = 200, 500
	over, ramp, most := 0, 0, 0
	for seed := range uint64(seeds) {
		p, now := New(16, 1024), time.Now()
		rate := moody(seed, busyMachine)
		for range looks {
			drive(p, &now, LookEvery, rate)
			if p.workers > least {
				over++
			}
		}
		p, now = New(16, 1024), time.Now()
		rate = moody(seed, slowSink(20*time.Millisecond))
		first := looks
		for i := range looks {
			drive(p, &now, LookEvery, rate)
			if p.workers == 1024 {
				first = min(first, i)
				most++
			}
		}
		ramp += first
	}
	if part := float64(over) / seeds / looks; part > 0.2 {
		t.Errorf("a fast sink had more than %d workers for %.0f %% of the time, want at most 20", least, 100*part)
	}
	if took := time.Duration(ramp) * LookEvery / seeds; took > 250*time.Millisecond {
		t.Errorf("a sink of 20 ms had all workers after %s on average, want at most 250ms", took)
	}
	if part := float64(most) / seeds / looks; part < 0.85 {
		t.Errorf("a sink of 20 ms had all workers for %.0f %% of the time, want at least 85", 100*part)
	}
}

// With as many workers as a source may have events in flight, now and then one
// of them is idle. That must not keep them all for ever.
func TestLimit_comesDownThoughSomebodyIsIdleNowAndThen(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	drive(p, &now, time.Second, func(int) float64 { return 0 })
	idle := func(rate func(int) float64) func(int) float64 {
		return func(workers int) float64 {
			p.Idle()
			return rate(workers)
		}
	}
	drive(p, &now, 20*time.Second, idle(slowSink(20*time.Millisecond)))
	if p.workers < 512 {
		t.Errorf("limit %d while each worker brings its part, want it kept but for a trial", p.workers)
	}
	drive(p, &now, 20*time.Second, idle(busyMachine))
	if p.workers != least {
		t.Errorf("limit %d after 20 s of a fast sink, want %d", p.workers, least)
	}
}

// Between two bursts nobody looks, and workers are idle; the rate over all of it
// is the source's and no reason to let workers go.
func TestLimit_keepsWhatBurstsNeed(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	drive(p, &now, 500*time.Millisecond, slowSink(20*time.Millisecond))
	for range 200 {
		drive(p, &now, 3*LookEvery, slowSink(20*time.Millisecond))
		p.Idle()
		now = now.Add(2 * maxGap)
	}
	if p.workers != 1024 {
		t.Errorf("limit %d after bursts, want 1024", p.workers)
	}
}

func TestLimit_judgesNothingWhileSomebodyIsIdle(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	drive(p, &now, 5*time.Second, func(int) float64 {
		p.Idle()
		return 100
	})
	if p.workers != least {
		t.Errorf("limit %d, want %d", p.workers, least)
	}
}

func TestLimit_neverLeavesItsBounds(t *testing.T) {
	for _, most := range []int{1, 3, 16, 17} {
		p, now := New(16, most), time.Now()
		for _, rate := range []func(int) float64{slowSink(time.Second), busyMachine, slowSink(time.Millisecond), busyMachine} {
			for range 1000 {
				drive(p, &now, LookEvery, rate)
				if p.workers < min(most, least) || p.workers > most {
					t.Fatalf("limit %d of at most %d", p.workers, most)
				}
			}
		}
	}
}

// U35.
func TestLimit_beginsAgainWithTheFewestAfterAnOverload(t *testing.T) {
	p, now := New(16, 1024), time.Now()
	drive(p, &now, time.Second, slowSink(20*time.Millisecond))
	for _, step := range []struct {
		then func()
		want int // workers a second later
	}{
		{func() { p.Overloaded(now, 1024) }, 256},
		{func() { drive(p, &now, minPause, slowSink(20*time.Millisecond)) }, 1024},
		{func() { p.Overloaded(now, 1024) }, 256}, // soon again: the relief is twice as long
		{func() { drive(p, &now, minPause, slowSink(20*time.Millisecond)) }, 256},
		{func() { p.Overloaded(now, 256); p.Overloaded(now, 1024); now = now.Add(time.Hour) }, 64}, // calls from before; without work, no relief
		{func() { drive(p, &now, 2*maxPause, slowSink(20*time.Millisecond)) }, 1024},
		{func() { drive(p, &now, 2*maxPause, slowSink(20*time.Millisecond)); p.Overloaded(now, 1024) }, 256},
		{func() { drive(p, &now, minPause, slowSink(20*time.Millisecond)) }, 1024}, // long after: short again
		{func() { p.Overloaded(now, 3) }, 16},
	} {
		step.then()
		if p.raised.IsZero() && p.Workers() != 16 && p.ceiling < p.most {
			t.Errorf("limit %d right after an overload, want 16", p.Workers())
		}
		drive(p, &now, time.Second, slowSink(20*time.Millisecond))
		if p.Workers() != step.want {
			t.Errorf("limit %d, want %d", p.Workers(), step.want)
		}
	}
}
