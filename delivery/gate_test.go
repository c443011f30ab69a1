package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// token is a sink that refuses every event while its token is expired.
type token struct {
	expired atomic.Bool
	class   func(error) error
	sends   atomic.Int64
}

func newToken() *token {
	k := &token{class: connector.AsPermanent}
	k.expired.Store(true)
	return k
}

func (k *token) Send(context.Context, *cloudevent.Event) error {
	k.sends.Add(1)
	pass(time.Millisecond)
	if k.expired.Load() {
		return k.class(errBoom)
	}
	return nil
}

func (k *token) Close(context.Context) error { return nil }

// U7: an event for which a sink's expression fails keeps the code of that error, and says nothing about the destination.
func TestLine_isNotStoppedByAnExpressionOfTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newToken()
		k.class = func(err error) error {
			return connector.AsUnsendable(fmt.Errorf("make the record's key: %w", fault.New(fault.DecodeFailed, err)))
		}
		r := start(t, Config{}, testVersion{Sink: k, StopTheLine: 5})
		for range 20 {
			r.give(r.ctx, "")
		}
		after(time.Minute)
		codes := r.letterStore.codes()
		for id, code := range codes {
			if code != fault.DecodeFailed {
				t.Errorf("%s has the code %s", id, code)
			}
		}
		if s := r.Status(); len(codes) != 20 || lineOf(s) != "" {
			t.Errorf("%d dead letters, and the line says %q", len(codes), lineOf(s))
		}
	})
}

// F11, https://github.com/vectordotdev/vector/issues/24543: a token that expired
// must not pour a topic into the dead letter queue.
func TestLine_stopsAfterSoManyInARowHoweverManyFailAtOnce(t *testing.T) {
	for name, class := range map[string]func(error) error{
		"rejected":          connector.AsPermanent,
		"retries exhausted": func(err error) error { return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newToken()
				k.class = class
				r := start(t, Config{}, testVersion{Sink: k, StopTheLine: 5})
				var given []string
				for range 200 {
					given = append(given, r.give(r.ctx, ""))
				}
				after(10 * time.Minute)
				if n := len(r.letterStore.codes()); n != 5 {
					t.Errorf("%d dead letters, want 5", n)
				}
				s := r.Status()
				if !strings.HasPrefix(lineOf(s), "the line is stopped: events of 5 messages in a row") || !strings.Contains(lineOf(s), "boom") {
					t.Errorf("the line says %q", lineOf(s))
				}
				if sum := held(s); sum != 195 {
					t.Errorf("%d are held, want 195", sum)
				}
				before := k.sends.Load()
				after(time.Minute)
				if n := k.sends.Load() - before; n > 61 {
					t.Errorf("%d tries in a minute, want those of one probe", n)
				}
				k.expired.Store(false)
				after(10 * time.Second)
				for _, m := range given {
					r.want(m, nil)
				}
				if s := r.Status(); lineOf(s) != "" || len(s.Held) > 0 {
					t.Errorf("still stopped: %+v", s)
				}
			})
		})
	}
}

func held(s State) (events int) {
	for _, h := range s.Held {
		events += h.Events
	}
	return events
}

// partsOf makes events of each message, for all outputs.
type partsOf struct{ parts, outputs int }

func (p partsOf) Transform(_ context.Context, m *connector.Message, into []Routed) ([]Routed, error) {
	for part := range p.parts {
		for out := range p.outputs {
			e := &cloudevent.Event{ID: fmt.Sprintf("%s#%d", m.Position, part), Source: "t", Type: "t"}
			into = append(into, Routed{Event: e, Output: out, Part: part + 1})
		}
	}
	return into, nil
}

// U37: A message counts once at each output, however many events it becomes.
func TestLine_isNotStoppedByTheEventsOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{})
		refuse := sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) })
		out := Output{Sink: refuse, StopTheLine: 2, Handling: Handling{DeadLetter: r.letterStore, Retry: testRetry}}
		a, b := out, out
		a.Name, b.Name = "a", "b"
		r.Swap(t.Context(), &Version{Transformer: partsOf{30, 2}, Outputs: []Output{a, b}})
		for range 2 {
			m := r.give(r.ctx, "k")
			after(time.Second)
			r.want(m, nil)
		}
		if s := r.Status(); len(s.Closed) > 0 || len(r.letterStore.letters) != 120 {
			t.Errorf("%d dead letters, closed: %v", len(r.letterStore.letters), s.Closed)
		}
		third := r.give(r.ctx, "k")
		after(time.Second)
		r.wantUnsettled(third)
		s := r.Status()
		if len(s.Closed) != 2 || !strings.HasPrefix(lineOf(s), "the line is stopped: events of 2 messages in a row") || len(r.letterStore.letters) != 120 {
			t.Errorf("%d dead letters, closed: %v", len(r.letterStore.letters), s.Closed)
		}
	})
}

func TestLine_aDeliveryBetweenEndsTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{StopTheLine: 2, Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) == "bad" {
				return connector.AsPermanent(errBoom)
			}
			return nil
		})})
		for _, key := range []string{"bad", "bad", "good", "bad", "bad", "good", "bad", "bad"} {
			m := r.give(r.ctx, key)
			synctest.Wait()
			r.want(m, nil)
		}
		r.wantUnsettled(r.give(r.ctx, "bad"))
	})
}

func TestLine_faultsOfTheRecordNeitherCountNorReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newToken()
		r := start(t, Config{}, testVersion{StopTheLine: 1, Sink: k, Transformer: transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
			switch string(m.Key) {
			case "malformed":
				return nil, errBoom
			case "filtered":
				return nil, nil
			}
			return asIs(ctx, m)
		})})
		for _, key := range []string{"malformed", "malformed", "malformed", "one", "malformed", "filtered"} {
			m := r.give(r.ctx, key)
			after(time.Millisecond)
			r.want(m, nil)
		}
		two := r.give(r.ctx, "two")
		after(time.Millisecond)
		malformed := r.give(r.ctx, "malformed")
		after(time.Hour)
		r.wantUnsettled(two)
		r.want(malformed, nil) // its dead letter needs no sink
	})
}

func TestLine_aSwapMovesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{StopTheLine: 2, Sink: newToken()})
		for range 50 {
			r.give(r.ctx, "")
		}
		after(time.Hour)
		if !r.Swap(t.Context(), r.withDefaults(testVersion{StopTheLine: 2}).version()) {
			t.Fatal("the old version is still used")
		}
		after(time.Second)
		if n, s := r.ends.n(), r.Status(); n != 50 || lineOf(s) != "" || len(r.letterStore.letters) != 2 {
			t.Errorf("%d of 50 settled, %d letters, %+v", n, len(r.letterStore.letters), s)
		}
	})
}

func TestLine_anotherProbeTakesOverWhenItsAssignmentEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newToken()
		r := start(t, Config{}, testVersion{StopTheLine: 1, Sink: k})
		ctx, revoke := context.WithCancel(r.ctx)
		r.give(ctx, "")
		after(time.Second)
		probe := r.give(ctx, "")
		after(time.Second)
		var waiting []string
		for _, c := range []context.Context{ctx, r.ctx, r.ctx} {
			waiting = append(waiting, r.give(c, ""))
			synctest.Wait() // they wait for the gate in this order
		}
		revoke()
		after(time.Minute)
		r.want(probe, connector.ErrInterrupted)
		r.want(waiting[0], connector.ErrInterrupted)
		r.wantUnsettled(waiting[1])
		if s := r.Status(); !strings.HasSuffix(lineOf(s), "probing with "+waiting[1]) {
			t.Errorf("the line says %q, want it to probe with %s", lineOf(s), waiting[1])
		}
		k.expired.Store(false)
		after(time.Minute)
		r.want(waiting[1], nil)
		r.want(waiting[2], nil)
	})
}

func TestLine_stopsDropsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		r := start(t, Config{Observer: c}, testVersion{StopTheLine: 3, OnExhausted: ExhaustedDrop, Sink: newToken()})
		for range 20 {
			r.give(r.ctx, "")
		}
		after(time.Hour)
		if c.settled[Dropped] != 3 {
			t.Errorf("%d were dropped, want 3", c.settled[Dropped])
		}
	})
}

// U43: The probe waits for half a minute when its assignment ends: the next one probes at
// once.
func TestGate_anotherProbeBeginsAtOnceWhenAnAssignmentEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &destination{away: func(*cloudevent.Event) error { return connector.AsUnavailable(errDown, 30*time.Second) }}
		r := start(t, Config{}, testVersion{Sink: d})
		revoked, revoke := context.WithCancel(r.ctx)
		defer revoke()
		r.giveAll(revoked, "a", "b", "c")
		after(70 * time.Second) // one is the probe, and has failed; the others wait
		d.answers(nil)
		good := r.give(r.ctx, "good")
		after(time.Second)
		r.wantUnsettled(good)
		revoke()
		after(time.Second)
		r.want(good, nil)
	})
}

// retryHook is an observer that calls a function for each retry.
type retryHook struct {
	NoObserver
	do func()
}

func (h *retryHook) Retry() { h.do() }

// U43: An event whose assignment has ended stops the line and leaves. Another event that
// was refused meanwhile becomes the probe in its place.
func TestLine_isProbedAlthoughTheEventThatStoppedItIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newToken()
		first, second, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
		hook := &retryHook{do: func() { <-left }}
		r := start(t, Config{Observer: hook, DrainTimeout: time.Minute}, testVersion{StopTheLine: 1, Sink: sinkFunc(func(ctx context.Context, e *cloudevent.Event) error {
			switch string(e.Key) {
			case "first":
				<-first
			case "second":
				<-second
			}
			return k.Send(ctx, e)
		})})
		revoked, revoke := context.WithCancel(r.ctx)
		defer revoke()
		r.give(revoked, "first")
		behind := r.give(r.ctx, "second")
		r.give(r.ctx, "letter")
		after(time.Second) // the one dead letter that may be
		revoke()
		synctest.Wait()
		close(first) // it becomes the probe, and is about to leave
		after(time.Second)
		close(second) // it waits for the gate
		after(time.Second)
		close(left)
		k.expired.Store(false)
		after(time.Minute)
		r.want(behind, nil)
	})
}
