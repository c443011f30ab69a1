package engine

import (
	"context"
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
	drive(&p, &now, 500*time.Millisecond, slowSink(20*time.Millisecond))
	if p.limit != 1024 {
		t.Errorf("limit %d after half a second of a 20 ms sink, want 1024", p.limit)
	}
	drive(&p, &now, time.Minute, slowSink(20*time.Millisecond))
	if p.limit < 512 {
		t.Errorf("limit %d after a minute, want it kept but for a trial", p.limit)
	}
}

func TestPace_givesAHungSinkAllWorkers(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(&p, &now, time.Second, func(int) float64 { return 0 })
	if p.limit != 1024 {
		t.Errorf("limit %d, want 1024", p.limit)
	}
}

func TestPace_keepsAFewWorkersWhereMoreBringNothing(t *testing.T) {
	p, now := newPace(1024), time.Now()
	most, looks := 0, 0
	for range 60 * 100 {
		drive(&p, &now, paceLook, busyMachine)
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
	drive(&p, &now, 10*time.Second, slowSink(20*time.Millisecond))
	drive(&p, &now, 5*time.Minute, busyMachine)
	if p.limit > 2*paceLeast*paceUp {
		t.Errorf("limit %d after five minutes of a fast sink", p.limit)
	}
	drive(&p, &now, 5*time.Second, slowSink(20*time.Millisecond))
	if p.limit < 512 {
		t.Errorf("limit %d after the sink turned slow again", p.limit)
	}
}

func TestPace_judgesNothingWhileSomebodyIsIdle(t *testing.T) {
	p, now := newPace(1024), time.Now()
	drive(&p, &now, 5*time.Second, func(int) float64 {
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
				drive(&p, &now, paceLook, rate)
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
