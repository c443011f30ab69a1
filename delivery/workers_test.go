package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// A sink that takes 20 ms reaches nearly the rate of 1,024 calls at once, and the
// workers stop when they are not needed any more.
func TestWorkers_comeWhenTheyAreNeededAndGoAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, most := 0, 0
		gate := make(chan struct{}, 1)
		r := start(t, Config{}, testVersion{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
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
		if best := 100_000 / 51_200.0; took.Seconds() > best*1.25 { // includes a trial of the limit
			t.Errorf("100,000 events took %s, at best %.2fs", took, best)
		}
		if most != 1024 {
			t.Errorf("%d calls at once, want 1024", most)
		}
		after(5 * time.Second)
		r.mu.Lock()
		workers := r.workers
		r.mu.Unlock()
		if workers > minWorkers {
			t.Errorf("%d workers are left idle, want at most %d", workers, minWorkers)
		}
		m := r.give(r.ctx, "k")
		after(time.Second)
		r.want(m, nil)
	})
}

// A sink that hung has all workers, as many as its partition may have events in
// flight. When it is quick again, limited by a core, most of them stop.
func TestWorkers_goWhenAHungSinkTurnsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, hung := make(chan struct{}, 1), make(chan struct{})
		r := start(t, Config{}, testVersion{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
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
		limit := r.version.Load().outputs[0].concurrency.Workers()
		r.mu.Unlock()
		if limit > 4*minWorkers {
			t.Errorf("limit %d after ten seconds of a fast sink, want at most %d", limit, 4*minWorkers)
		}
		synctest.Wait()
	})
}

// All workers go on from the transform to a sink that hangs: more must be started for
// the messages that still wait to be transformed.
func TestWorkers_comeForAStepThatTheOthersLeft(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			sent := make(chan struct{}, 200)
			r := start(t, Config{}, testVersion{Sink: sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error {
				sent <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})})
			r.giveAll(r.ctx, make([]string, 200)...)
			after(time.Second)
			if len(sent) != 200 {
				t.Fatalf("%d of 200 events reached a sink that hangs, within a second", len(sent))
			}
		})
	}
}
