package delivery

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// drive looks at a pace for a while, every paceLook, while rate says how much
// is finished in a second with so many workers.
func drive(p *pace, now *time.Time, d time.Duration, rate func(workers int) float64) {
	for end := now.Add(d); now.Before(end); *now = now.Add(paceLook) {
		n := rate(p.limit) * paceLook.Seconds()
		for range int(n) {
			p.done()
		}
		p.look(*now)
	}
}

func slowSink(latency time.Duration) func(int) float64 {
	return func(workers int) float64 { return float64(workers) / latency.Seconds() }
}

func busyMachine(int) float64 { return 100_000 }

func TestPace_givesASlowSinkAllWorkersWithinAMoment(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(p, &now, 200*time.Millisecond, slowSink(20*time.Millisecond))
	if p.limit != 1024 {
		t.Errorf("limit %d after a fifth of a second of a 20 ms sink, want 1024", p.limit)
	}
	drive(p, &now, time.Minute, slowSink(20*time.Millisecond))
	if p.limit < 512 {
		t.Errorf("limit %d after a minute, want it kept but for a trial", p.limit)
	}
}

func TestPace_givesAHungSinkAllWorkers(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(p, &now, time.Second, func(int) float64 { return 0 })
	if p.limit != 1024 {
		t.Errorf("limit %d, want 1024", p.limit)
	}
}

func TestPace_keepsAFewWorkersWhereMoreBringNothing(t *testing.T) {
	p, now := newPace(1024), time.Now()
	most, looks := 0, 0
	for range 60 * 100 {
		drive(p, &now, paceLook, busyMachine)
		if p.limit > paceLeast {
			looks++
		}
		most = max(most, p.limit)
	}
	if most > paceUp*paceLeast || looks > 60 {
		t.Errorf("limit went up to %d, and was over %d for %d of 6000 looks", most, paceLeast, looks)
	}
}

func TestPace_comesDownWhenASlowSinkTurnsFast(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(p, &now, 10*time.Second, slowSink(20*time.Millisecond))
	drive(p, &now, 5*time.Minute, busyMachine)
	if p.limit > 2*paceLeast*paceUp {
		t.Errorf("limit %d after five minutes of a fast sink", p.limit)
	}
	drive(p, &now, 5*time.Second, slowSink(20*time.Millisecond))
	if p.limit < 512 {
		t.Errorf("limit %d after the sink turned slow again", p.limit)
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
func TestPace_isNotTakenInByAMoodyMachine(t *testing.T) {
	const looks = 500
	seeds := 200
	if testing.Short() {
		seeds = 20
	}
	over, ramp, most := 0, 0, 0
	for seed := range uint64(seeds) { //nolint:gosec // G115: small
		p, now := newPace(1024), time.Now()
		rate := moody(seed, busyMachine)
		for range looks {
			drive(p, &now, paceLook, rate)
			if p.limit > paceLeast {
				over++
			}
		}
		p, now = newPace(1024), time.Now()
		rate = moody(seed, slowSink(20*time.Millisecond))
		first := looks
		for i := range looks {
			drive(p, &now, paceLook, rate)
			if p.limit == 1024 {
				first = min(first, i)
				most++
			}
		}
		ramp += first
	}
	if part := float64(over) / float64(seeds*looks); part > 0.2 {
		t.Errorf("a fast sink had more than %d workers for %.0f %% of the time, want at most 20", paceLeast, 100*part)
	}
	if took := time.Duration(ramp) * paceLook / time.Duration(seeds); took > 250*time.Millisecond {
		t.Errorf("a sink of 20 ms had all workers after %s on average, want at most 250ms", took)
	}
	if part := float64(most) / float64(seeds*looks); part < 0.85 {
		t.Errorf("a sink of 20 ms had all workers for %.0f %% of the time, want at least 85", 100*part)
	}
}

// With as many workers as a source may have events in flight, now and then one
// of them is idle. That must not keep them all for ever.
func TestPace_comesDownThoughSomebodyIsIdleNowAndThen(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(p, &now, time.Second, func(int) float64 { return 0 })
	idle := func(rate func(int) float64) func(int) float64 {
		return func(workers int) float64 {
			p.idle()
			return rate(workers)
		}
	}
	drive(p, &now, 20*time.Second, idle(slowSink(20*time.Millisecond)))
	if p.limit < 512 {
		t.Errorf("limit %d while each worker brings its part, want it kept but for a trial", p.limit)
	}
	drive(p, &now, 20*time.Second, idle(busyMachine))
	if p.limit != paceLeast {
		t.Errorf("limit %d after 20 s of a fast sink, want %d", p.limit, paceLeast)
	}
}

// Between two bursts nobody looks, and workers are idle; the rate over all of it
// is the source's and no reason to let workers go.
func TestPace_keepsWhatBurstsNeed(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(p, &now, 500*time.Millisecond, slowSink(20*time.Millisecond))
	for range 200 {
		drive(p, &now, 3*paceLook, slowSink(20*time.Millisecond))
		p.idle()
		now = now.Add(2 * paceGap)
	}
	if p.limit != 1024 {
		t.Errorf("limit %d after bursts, want 1024", p.limit)
	}
}

func TestPace_judgesNothingWhileSomebodyIsIdle(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(p, &now, 5*time.Second, func(int) float64 {
		p.idle()
		return 100
	})
	if p.limit != paceLeast {
		t.Errorf("limit %d, want %d", p.limit, paceLeast)
	}
}

func TestPace_neverLeavesItsBounds(t *testing.T) {
	for _, most := range []int{1, 3, 16, 17} {
		p, now := newPace(most), time.Now()
		for _, rate := range []func(int) float64{slowSink(time.Second), busyMachine, slowSink(time.Millisecond), busyMachine} {
			for range 1000 {
				drive(p, &now, paceLook, rate)
				if p.limit < min(most, paceLeast) || p.limit > most {
					t.Fatalf("limit %d of at most %d", p.limit, most)
				}
			}
		}
	}
}

// A sink that takes 20 ms gets close to what 1,024 calls at once can do, and
// the workers go when they are of no use any more.
func TestWorkers_comeWhenTheyAreNeededAndGoAfter(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 events take seconds of a core")
	}
	synctest.Test(t, func(t *testing.T) {
		calls, most := 0, 0
		gate := make(chan struct{}, 1)
		r := start(t, Config{}, Stage{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			gate <- struct{}{}
			calls++
			most = max(most, calls)
			<-gate
			pass(20 * time.Millisecond)
			gate <- struct{}{}
			calls--
			<-gate
			return nil
		})})
		began := time.Now()
		for range 100_000 {
			r.give(r.ctx, "")
		}
		synctest.Wait()
		took := time.Since(began)
		if best := 100_000 / 51_200.0; took.Seconds() > best*1.15 {
			t.Errorf("100,000 events took %s, at best %.2fs", took, best)
		}
		if most != 1024 {
			t.Errorf("%d calls at once, want 1024", most)
		}
		after(5 * time.Second)
		r.mu.Lock()
		workers := r.workers
		r.mu.Unlock()
		if workers > paceLeast {
			t.Errorf("%d workers are left idle, want at most %d", workers, paceLeast)
		}
		m := r.give(r.ctx, "k")
		after(time.Second)
		r.want(m, nil)
	})
}

// A sink that hung has all workers, as many as its one partition may have events
// in flight; when it is quick again, limited by a core, most of them go.
func TestWorkers_goWhenAHungSinkTurnsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, hung := make(chan struct{}, 1), make(chan struct{})
		r := start(t, Config{}, Stage{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			<-hung
			core <- struct{}{}
			pass(100 * time.Microsecond)
			<-core
			return nil
		})})
		time.AfterFunc(2*time.Second, func() { close(hung) })
		for range 100_000 {
			r.give(r.ctx, "")
		}
		r.mu.Lock()
		limit := r.version.Load().outputs[0].limit.limit
		r.mu.Unlock()
		if limit > paceUp*paceLeast {
			t.Errorf("limit %d after ten seconds of a fast sink, want at most %d", limit, paceUp*paceLeast)
		}
		synctest.Wait()
	})
}
