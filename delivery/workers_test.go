package delivery

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// A sink that takes 20 ms reaches nearly the rate of 1,024 calls at once, and the
// workers stop when they are not needed any more.
func TestWorkers_comeWhenTheyAreNeededAndGoAfter(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
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
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
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

// splitter sends the events of key "b" to the second output and all others to the
// first.
type splitter struct{}

func (splitter) Transform(ctx context.Context, m *connector.Message, into []Routed) ([]Routed, error) {
	e, err := asIs(ctx, m)
	routed := Routed{Event: e}
	if string(m.Key) == "b" {
		routed.Output = 1
	}
	return append(into, routed), err
}

// hangs is a sink whose calls hang until they are cancelled. Three of them find out
// after five seconds that the destination is unavailable.
func hangs() connector.Sink {
	var n atomic.Int64
	return sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error {
		if n.Add(1) <= 3 {
			pass(5 * time.Second)
			return connector.AsUnavailable(errDown, 0)
		}
		<-ctx.Done()
		return ctx.Err()
	})
}

// U42: The limit of an output falls when its destination no longer answers. The workers
// whose calls hang there must not be missing at the other outputs.
func TestWorkers_thatHangAtOneOutputAreNotMissingAtAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{})
		h := Handling{DeadLetter: r.letterStore, Retry: outageRetry}
		good := sinkFunc(func(context.Context, *cloudevent.Event) error { return nil })
		r.Swap(t.Context(), &Version{Transformer: splitter{}, Handling: h, Outputs: []Output{
			{Name: "a", Sink: hangs(), Handling: h}, {Name: "b", Sink: good, Handling: h},
		}})
		for i := range 500 {
			r.give(r.ctx, "a"+strconv.Itoa(i))
		}
		after(6 * time.Second)
		for range 100 {
			m := r.give(r.ctx, "b")
			after(time.Second)
			r.want(m, nil)
		}
	})
}

// U42: Nor may they be missing on the version that replaces theirs, while they may drain.
func TestWorkers_thatHangOnAnOldVersionAreNotMissingOnTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{DrainTimeout: time.Minute}, testVersion{Sink: hangs(), SinkName: "old"})
		for i := range 500 {
			r.give(r.ctx, "a"+strconv.Itoa(i))
		}
		after(6 * time.Second)
		go r.Swap(t.Context(), r.withDefaults(testVersion{SinkName: "new"}).version())
		synctest.Wait()
		for range 10 {
			m := r.give(r.ctx, "b")
			after(time.Second)
			r.want(m, nil)
		}
		after(time.Minute)
	})
}
