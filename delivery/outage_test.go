package delivery

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// destination is a sink that can be unavailable, and counts its calls.
type destination struct {
	mu    sync.Mutex
	away  func(*cloudevent.Event) error // nil: it takes everything
	takes time.Duration                 // a call
	now   int                           // calls in flight
	most  int                           // the maximum of now
	calls map[string]int                // by key
	order []string                      // ids, as they were delivered
}

func (d *destination) Send(_ context.Context, e *cloudevent.Event) error {
	d.mu.Lock()
	d.now++
	d.most = max(d.most, d.now)
	if d.calls == nil {
		d.calls = map[string]int{}
	}
	d.calls[string(e.Key)]++
	d.mu.Unlock()
	pass(d.takes)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now--
	if d.away != nil {
		if err := d.away(e); err != nil {
			return err
		}
	}
	d.order = append(d.order, e.ID)
	return nil
}

func (d *destination) Close(context.Context) error { return nil }

// answers sets what the destination answers from now on, and returns how many
// calls were in flight at once since it was last called.
func (d *destination) answers(away func(*cloudevent.Event) error) (most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
	most, d.most = d.most, d.now
	return most
}

func (d *destination) n() (calls, delivered int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.calls {
		calls += n
	}
	return calls, len(d.order)
}

var outageRetry = backoff.Policy{Kind: backoff.Exponential, Initial: 200 * time.Millisecond, Max: time.Second}

// F11, https://github.com/confluentinc/parallel-consumer/issues/110: an outage
// costs no dead letters, one event at a time probes the destination, and
// everything is delivered, in order, once that is back.
func TestOutage_costsNoDeadLettersAndOneEventAtATimeProbes(t *testing.T) {
	for name, err := range map[string]error{
		"unavailable":               connector.AsUnavailable(errDown, 0),
		"unavailable, asks to wait": connector.AsUnavailable(errDown, time.Second),
		"blocked":                   connector.AsBlocked(errDown),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &destination{takes: 10 * time.Millisecond}
				r := start(t, Config{MaxInFlight: 500}, testVersion{Sink: d, MaxRetries: 5, StopTheLine: 20, Retry: outageRetry})
				steady := func(seconds int) {
					for range seconds {
						for i := range 5 {
							r.give(r.ctx, "key-"+strconv.Itoa(i))
						}
						after(time.Second)
					}
				}
				steady(1)
				d.answers(func(*cloudevent.Event) error { return err })
				steady(5)
				d.answers(d.away)
				before, _ := d.n()
				steady(55)
				tries, _ := d.n()
				if most := d.answers(nil); most != 1 {
					t.Errorf("%d calls were in flight at once after the first 5 s, want the probe's", most)
				}
				if tries -= before; tries < 50 || tries > 55 {
					t.Errorf("%d tries in 55 s, want one about every second", tries)
				}
				after(2 * time.Second)
				if n := r.ends.n(); n < 300 || len(r.letterStore.codes()) > 0 {
					t.Errorf("%d of 305 events are settled 2 s after the return, with dead letters %v", n, r.letterStore.codes())
				}
				after(time.Minute)
				wantOrder(t, d, 305)
			})
		})
	}
}

// wantOrder fails unless n events were delivered, those of each key in order:
// every fifth event has the same key.
func wantOrder(t *testing.T, d *destination, n int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := map[int64]int64{}
	for _, id := range d.order {
		offset, err := strconv.ParseInt(id[len("t-0-"):], 10, 64)
		if last, ok := newest[offset%5]; err != nil || ok && last >= offset {
			t.Errorf("%s was delivered after t-0-%d", id, last)
		}
		newest[offset%5] = offset
	}
	if len(d.order) != n {
		t.Errorf("%d events were delivered, want %d", len(d.order), n)
	}
}

// F11, https://github.com/confluentinc/parallel-consumer/issues/110, asks for
// a threshold: an event that fails by itself is a dead letter all the same, however
// it fails, if the destination answers for others.
func TestOutage_anEventThatFailsAmongGoodOnesIsADeadLetter(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		alone  bool
		count  bool
		letter bool
		calls  int // 0: more than 20
	}{
		{name: "a verdict", err: errBoom, letter: true, calls: 6},
		{name: "unavailable", err: connector.AsUnavailable(errDown, 0), letter: true, calls: 7}, // the first try was before any answer
		{name: "a verdict, alone", err: errBoom, alone: true, letter: true, calls: 6},
		{name: "unavailable, alone", err: connector.AsUnavailable(errDown, 0), alone: true},
		{name: "unavailable, alone, where outages count", err: connector.AsUnavailable(errDown, 0), alone: true, count: true, letter: true, calls: 6},
		{name: "blocked says nothing of an event", err: connector.AsBlocked(errDown)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &destination{away: func(e *cloudevent.Event) error {
					if string(e.Key) == "poison" {
						return tc.err
					}
					return nil
				}}
				r := start(t, Config{}, testVersion{Sink: d, MaxRetries: 5, Retry: outageRetry, CountOutages: tc.count})
				poison, behind := r.give(r.ctx, "poison"), ""
				for range 1200 {
					after(50 * time.Millisecond)
					if !tc.alone {
						m := r.give(r.ctx, "good")
						synctest.Wait()
						r.want(m, nil)
					}
				}
				if tc.letter {
					r.want(poison, nil)
					behind = r.give(r.ctx, "poison")
					synctest.Wait()
					r.wantUnsettled(behind)
				} else {
					r.wantUnsettled(poison)
				}
				if code := r.letterStore.codes()[poison]; (code == fault.SinkDeliveryFailed) != tc.letter {
					t.Errorf("the dead letter is %q", code)
				}
				calls := d.calls["poison"]
				if behind != "" {
					calls-- // that of the event behind it
				}
				if tc.calls != calls && (tc.calls > 0 || calls <= 20) {
					t.Errorf("%d calls, want %d (0: more than 20)", calls, tc.calls)
				}
				d.answers(nil)
				after(2 * time.Second)
				for m := range r.ends.n() {
					r.want("t-0-"+strconv.Itoa(m), nil)
				}
				if s := r.Status(); s.InFlight > 0 || len(s.Held) > 0 || lineOf(s) != "" {
					t.Errorf("left over: %+v", s)
				}
			})
		})
	}
}

// U35, Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021: a
// destination does a hundred calls a second, one after the other, also those whose
// callers have gone, and hung for a while. If a thousand events were tried at once
// when it is back, nearly all would time out, and their retries, too.
func TestOutage_endsForADestinationThatTooManyCallsWouldOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 1000
		back, core := make(chan struct{}), make(chan struct{}, 1)
		serve := func(answered chan<- struct{}) {
			<-back
			core <- struct{}{}
			pass(10 * time.Millisecond)
			<-core
			close(answered)
		}
		var calls atomic.Int64
		r := start(t, Config{}, testVersion{MaxRetries: 5, StopTheLine: 20, Retry: outageRetry, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			calls.Add(1)
			answered := make(chan struct{})
			go serve(answered)
			select {
			case <-answered:
				return nil
			case <-time.After(time.Second):
				return connector.AsUnavailable(errDown, 0)
			}
		})})
		for i := range events {
			r.give(r.ctx, "key-"+strconv.Itoa(i))
		}
		after(20 * time.Second)
		close(back)
		after(10 * time.Second) // it does the calls that were given up
		after(2 * 10 * time.Second)
		if n := r.ends.n(); n < events || len(r.letterStore.codes()) > 0 {
			t.Errorf("%d of %d events are settled after twice the time that they take, with dead letters %v", n, events, r.letterStore.codes())
		}
		if n := calls.Load(); n > 3*events {
			t.Errorf("%d calls for %d events, want one each, one of the outage, and a few", n, events)
		}
		after(time.Minute) // the destination ends its calls
	})
}

// U36: What the sink finds by itself is no answer of the destination: it neither opens the
// gate nor makes failures of other events count.
func TestOutage_isNotEndedByAnEventThatCannotBeSent(t *testing.T) {
	for name, batch := range map[string]*Batch{"singly": nil, "in batches": {MaxEvents: 2, MaxWait: time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				send := func(_ context.Context, es []*cloudevent.Event) []error { return downOrUnsendable(es) }
				r := start(t, Config{}, testVersion{Sink: batchFunc(send), Batch: batch, MaxRetries: 3, StopTheLine: 2})
				for range 100 {
					r.giveAll(r.ctx, "bad", "good", "bad")
					after(time.Second)
				}
				after(time.Minute)
				for id, code := range r.letterStore.codes() {
					if code != fault.SinkRejected {
						t.Errorf("%s is a dead letter with code %s", id, code)
					}
				}
				if s := r.Status(); len(s.Closed) != 1 || !strings.HasPrefix(lineOf(s), "the sink is unavailable") || s.InFlight < 100 {
					t.Errorf("%d in flight, the line says %q", s.InFlight, lineOf(s))
				}
			})
		})
	}
}

// U36: A panic of the sink is no answer of the destination.
func TestOutage_isNotEndedByAPanicOfTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{MaxRetries: 3, Sink: sinkFunc(func(_ context.Context, e *cloudevent.Event) error {
			if strings.HasPrefix(string(e.Key), "bad") {
				panic("oh")
			}
			return connector.AsUnavailable(errDown, 0)
		})})
		var good []string
		for i := range 50 {
			good = append(good, r.giveAll(r.ctx, "good-"+strconv.Itoa(i))...)
			r.giveAll(r.ctx, "bad-"+strconv.Itoa(i))
			after(time.Second)
		}
		after(10 * time.Minute)
		for _, m := range good {
			r.wantUnsettled(m)
		}
		if s := r.Status(); !strings.HasPrefix(lineOf(s), "the sink is unavailable") {
			t.Errorf("the line says %q", lineOf(s))
		}
	})
}

// A batch of which the sink could not send the first event is a call without an answer
// like any other.
func TestOutage_isSeenByBatchesWithAnEventThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		sink := batchFunc(func(_ context.Context, es []*cloudevent.Event) []error {
			calls++
			return downOrUnsendable(es)
		})
		r := start(t, Config{}, testVersion{Batch: &Batch{MaxEvents: 2, MaxWait: time.Second}, Sink: sink})
		for i := range awayAfter {
			r.giveAll(r.ctx, "bad", "good-"+strconv.Itoa(i))
			synctest.Wait()
		}
		if s := r.Status(); calls != awayAfter || !strings.HasPrefix(lineOf(s), "the sink is unavailable") {
			t.Errorf("after %d calls the line says %q", calls, lineOf(s))
		}
	})
}

// U43: An event that waits for something other than the destination is no probe: its dead
// letter cannot be stored, its receipt cannot be written, or the flow blocks on it.
// The output goes on without it once the destination is back.
func TestOutage_endsAlthoughTheProbeWaitsForSomethingElse(t *testing.T) {
	invalid := &cloudevent.EncodeError{Err: errBoom}
	for name, tc := range map[string]struct {
		bad error // what the probe gets when the destination is back
		Output
	}{
		"the dead letter": {invalid, Output{}},
		"a block":         {invalid, Output{Handling: Handling{OnExhausted: ExhaustedBlock}}},
		"the receipt": {nil, Output{Receipt: func(_ context.Context, e *cloudevent.Event, _ *deadletter.Letter) error {
			if string(e.Key) == "bad" {
				return errBoom
			}
			return nil
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &destination{away: func(e *cloudevent.Event) error {
					if string(e.Key) == "bad" {
						return tc.bad
					}
					return connector.AsUnavailable(errDown, 0)
				}}
				r := start(t, Config{}, testVersion{})
				out := tc.Output
				out.Sink, out.DeadLetter, out.Retry, out.MaxRetries = d, r.letterStore, testRetry, 5
				r.letterStore.fail(errBoom)
				r.Swap(t.Context(), &Version{Transformer: single{transformFunc(asIs)}, Handling: out.Handling, Outputs: []Output{out}})
				good := r.giveAll(r.ctx, "a", "b", "c")
				after(5 * time.Second) // they closed the gate
				bad := r.give(r.ctx, "bad")
				after(10 * time.Second) // it was the probe
				d.answers(func(e *cloudevent.Event) error { return map[string]error{"bad": tc.bad}[string(e.Key)] })
				after(time.Minute)
				for _, m := range good {
					r.want(m, nil)
				}
				r.wantUnsettled(bad)
				if s := r.Status(); len(s.Closed) > 0 {
					t.Errorf("closed: %v", s.Closed)
				}
			})
		})
	}
}

// A destination of which one replica in ten is unavailable is neither away nor
// overloaded: it keeps its workers.
func TestOutage_ofAFewReplicasTakesNoWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
	synctest.Test(t, func(t *testing.T) {
		const events = 100_000
		dice := newDice(1, 1)
		var mu sync.Mutex
		r := start(t, Config{}, testVersion{MaxRetries: 20, Retry: outageRetry, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			mu.Lock()
			down := dice.chance(0.1)
			mu.Unlock()
			if down {
				pass(time.Millisecond)
				return connector.AsUnavailable(errDown, 0)
			}
			pass(20 * time.Millisecond)
			return nil
		})})
		began := time.Now()
		for range events {
			r.give(r.ctx, "")
		}
		if took, best := time.Since(began), events/51_200.0; took.Seconds() > 6*best {
			t.Errorf("%d events took %s, at best %.1fs", events, took, best)
		}
	})
}

// New connections are refused while all calls under way hang: the limit begins again
// although few calls have failed.
func TestOutage_ofProbesTakesTheWorkersThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := start(t, Config{}, testVersion{Retry: outageRetry, Sink: sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error {
			if calls.Add(1) > 500 {
				return connector.AsUnavailable(errDown, 0)
			}
			<-ctx.Done()
			return ctx.Err()
		})})
		r.giveAll(r.ctx, make([]string, 503)...)
		after(10 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := r.version.Load().outputs[0].concurrency.Workers(); n != minWorkers {
			t.Errorf("limit %d, want %d", n, minWorkers)
		}
	})
}

// downOrUnsendable returns the errors of a destination that is down, and that of an
// event which the sink cannot send.
func downOrUnsendable(es []*cloudevent.Event) []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = connector.AsUnavailable(errDown, 0)
		if string(e.Key) == "bad" {
			errs[i] = connector.AsUnsendable(errBoom)
		}
	}
	return errs
}
