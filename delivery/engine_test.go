package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

func TestLanes_keepTheOrderTheyWereAskedFor(t *testing.T) {
	for _, tc := range []struct {
		ordering string
		atOnce   []int // of a, b, a, no key, no key
	}{
		{"", []int{0, 1, 3, 4}},
		{OrderKey, []int{0, 1, 3, 4}},
		{OrderPartition, []int{0}},
		{OrderNone, []int{0, 1, 2, 3, 4}},
	} {
		t.Run("ordering="+tc.ordering, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newHeldSink(t)
				r := start(t, Config{Ordering: tc.ordering}, testVersion{Sink: g})
				var ids []string
				for _, key := range []string{"a", "b", "a", "", ""} {
					ids = append(ids, r.give(r.ctx, key))
				}
				got := map[string]bool{}
				for _, id := range g.came() {
					got[id] = true
				}
				if len(got) != len(tc.atOnce) {
					t.Errorf("%v are in the sink, want those of %v", got, tc.atOnce)
				}
				for _, i := range tc.atOnce {
					if !got[ids[i]] {
						t.Errorf("event %d is not in the sink", i)
					}
				}
			})
		})
	}
}

func TestLanes_anEmptyKeyIsAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{}, testVersion{Sink: g})
		for range 2 {
			m := r.message("")
			m.Key = []byte{}
			r.handOver(r.ctx, m)
		}
		if n := len(g.came()); n != 1 {
			t.Errorf("%d of two events with the empty key are in the sink, want 1", n)
		}
	})
}

func TestLanes_aKeyInRetryHoldsUpItselfAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{MaxInFlight: 3}, testVersion{MaxRetries: 9, Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) == "bad" {
				return errBoom
			}
			return nil
		})})
		bad, behind := r.give(r.ctx, "bad"), r.give(r.ctx, "bad")
		for range 100 {
			m := r.give(r.ctx, "good") // there is room for one at a time
			synctest.Wait()
			r.want(m, nil)
		}
		r.wantUnsettled(bad)
		r.wantUnsettled(behind)
		if s := r.Status(); s.Working != 0 || s.Waiting != 1 || s.InFlight != 2 || s.LastError != "boom" || s.OldestAt != bad {
			t.Errorf("status %+v, want the two in flight, the first waiting, none working", s)
		}
	})
}

func TestBackPressure_blocksAtMaxInFlightOfAnAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{MaxInFlight: 32}, testVersion{Sink: g})
		given := make(chan string, 200)
		feed := func(ctx context.Context, n int) {
			for range n {
				m := r.message("k")
				r.handOver(ctx, m)
				given <- m.Position.String()
			}
		}
		go feed(r.ctx, 100)
		synctest.Wait()
		if n := len(given); n != 32 {
			t.Errorf("%d were accepted, want 32", n)
		}
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		feed(other, 5) // is not blocked by the other assignment
		for range 105 {
			g.answer <- nil
		}
		synctest.Wait()
		if r.ends.n() != 105 {
			t.Errorf("%d of 105 were settled", r.ends.n())
		}
	})
}

func TestBackPressure_bytesAreSharedAndEachAssignmentMayHoldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{MaxInFlightBytes: 10}, testVersion{Sink: g})
		big := func() *connector.Message {
			m := r.message("")
			m.Value = make([]byte, 60)
			m.Headers = []connector.Header{{Key: "h", Value: []byte("v")}}
			return m
		}
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		r.handOver(r.ctx, big())
		r.handOver(other, big())
		if s := r.Status(); s.InFlight != 2 || s.Bytes != 124 {
			t.Errorf("status %+v, want one event of each assignment", s)
		}
		accepted := make(chan bool, 1)
		go func() {
			r.handOver(r.ctx, big())
			accepted <- true
		}()
		synctest.Wait()
		if len(accepted) > 0 {
			t.Error("a second event over the limit was accepted")
		}
		for range 3 {
			g.answer <- nil
		}
		synctest.Wait()
		if r.ends.n() != 3 {
			t.Errorf("%d of 3 were settled", r.ends.n())
		}
	})
}

func TestBackPressure_bytesFreedByOneAssignmentLetAnotherGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{MaxInFlightBytes: 6}, testVersion{Sink: g})
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		r.give(r.ctx, "k")
		r.give(other, "k") // 4 bytes each, one each
		accepted := make(chan bool, 1)
		go func() {
			r.give(other, "l")
			accepted <- true
		}()
		synctest.Wait()
		g.answer <- nil
		g.answer <- nil
		<-accepted
		g.answer <- nil
	})
}

func TestProcess_endsEventsThatNeverReachTheSink(t *testing.T) {
	for _, tc := range []struct {
		name    string
		process transformFunc
		code    fault.Code // "": filtered
		reason  string
	}{
		{"filtered", func(context.Context, *connector.Message) (*cloudevent.Event, error) { return nil, nil }, "", ""},
		{"a fault keeps its code", func(context.Context, *connector.Message) (*cloudevent.Event, error) {
			return nil, fmt.Errorf("wrapped: %w", fault.New(fault.DecodeFailed, errBoom))
		}, fault.DecodeFailed, "wrapped: boom"},
		{"an error without a code", func(context.Context, *connector.Message) (*cloudevent.Event, error) { return nil, errBoom }, fault.TransformFailed, "boom"},
		{"a panic", func(context.Context, *connector.Message) (*cloudevent.Event, error) { panic("oh") }, fault.TransformFailed, "the transform panicked: panic(string)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newHeldSink(t)
				r := start(t, Config{Name: "f"}, testVersion{Transformer: tc.process, Sink: g, SinkName: "s", MaxRetries: 5})
				m := r.give(r.ctx, "k")
				synctest.Wait()
				r.want(m, nil)
				g.wantCame()
				if tc.code == "" {
					if len(r.letterStore.letters) > 0 {
						t.Error("a filtered event became a dead letter")
					}
					return
				}
				l := r.letterStore.letters[0]
				if l.Code != tc.code || l.Reason != tc.reason || l.Retries != 0 || l.Flow != "f" || l.Sink != "" || l.Message.Position.String() != m || !l.FailedAt.Equal(time.Now()) {
					t.Errorf("letter %+v", l)
				}
			})
		})
	}
}

func TestProcess_waitsForWhatIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		r := start(t, Config{}, testVersion{Transformer: transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
			if down.Load() {
				return nil, connector.AsUnavailable(errors.New("registry: 503"), 0)
			}
			return asIs(ctx, m)
		})})
		m := r.give(r.ctx, "k")
		after(time.Hour)
		r.wantUnsettled(m)
		if h := r.Status().Held; len(h) != 1 || h[0].Reason != "the transform waits for what it needs: registry: 503" {
			t.Errorf("held %+v", h)
		}
		down.Store(false)
		after(time.Minute)
		r.want(m, nil)
	})
}

func TestSink_errorsAreTreatedByTheirClass(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		fails int
		tries int
		took  time.Duration
		code  fault.Code
	}{
		{"temporary, then fine", errBoom, 2, 3, 2 * time.Second, ""},
		{"temporary, retries exhausted", errBoom, 99, 4, 3 * time.Second, fault.SinkDeliveryFailed},
		{"permanent is never retried", connector.AsPermanent(errBoom), 99, 1, 0, fault.SinkRejected},
		// U1: nothing was sent, and a retry cannot help.
		{"an event that cannot be written", fmt.Errorf("send: %w", &cloudevent.EncodeError{Err: errBoom}), 99, 1, 0, fault.DecodeFailed},
		{"unavailable does not count", connector.AsUnavailable(errBoom, 0), 20, 21, 20 * time.Second, ""},
		{"a longer Retry-After is honoured", connector.AsTemporary(errBoom, time.Minute), 1, 2, time.Minute, ""},
		{"a shorter one does not hurry us", connector.AsTemporary(errBoom, time.Millisecond), 1, 2, time.Second, ""},
		{"one of years is bounded", connector.AsTemporary(errBoom, 1e6*time.Hour), 1, 2, time.Hour, ""},
		{"a deadline that passed", context.DeadlineExceeded, 1, 2, time.Second, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				var last time.Time
				began := time.Now()
				r := start(t, Config{}, testVersion{MaxRetries: 3, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
					tries++
					last = time.Now()
					if tries <= tc.fails {
						return tc.err
					}
					return nil
				})})
				m := r.give(r.ctx, "k")
				after(2 * time.Hour)
				r.want(m, nil)
				if tries != tc.tries || last.Sub(began) != tc.took {
					t.Errorf("%d tries in %s, want %d in %s", tries, last.Sub(began), tc.tries, tc.took)
				}
				if got := r.letterStore.codes()[m]; got != tc.code {
					t.Errorf("dead letter %q, want %q", got, tc.code)
				}
				if tc.code != "" && r.letterStore.letters[0].Retries != tries-1 {
					t.Errorf("the letter says %d retries, want %d", r.letterStore.letters[0].Retries, tries-1)
				}
			})
		})
	}
}

func TestSink_panicsAreTemporaryErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error { panic("oh") })})
		m := r.give(r.ctx, "k")
		synctest.Wait()
		r.want(m, nil)
		if l := r.letterStore.letters[0]; l.Code != fault.SinkDeliveryFailed || l.Reason != "the sink panicked: panic(string)" {
			t.Errorf("letter %+v", l)
		}
	})
}

func TestDeadLetter_aWriterThatPanicsOrIsMissingHoldsTheEvent(t *testing.T) {
	for name, st := range map[string]testVersion{
		"panics":  {DeadLetter: panicky{}},
		"missing": {OnExhausted: ExhaustedDLQ},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st.Sink = sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) })
				r := start(t, Config{}, st)
				m := r.give(r.ctx, "k")
				after(time.Hour)
				r.wantUnsettled(m)
				if h := r.Status().Held; len(h) != 1 || !strings.HasPrefix(h[0].Reason, "the dead letter cannot be stored: ") {
					t.Errorf("held %+v", h)
				}
			})
		})
	}
}

type panicky struct{}

func (panicky) Close(context.Context) error { return nil }

func (panicky) Write(context.Context, *deadletter.Letter) error { panic("oh") }

func TestOnExhausted(t *testing.T) {
	refuse := sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
		if string(ev.Key) == "bad" {
			return connector.AsPermanent(errBoom)
		}
		return nil
	})
	fail := transformFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) { return nil, errBoom })
	for _, st := range []testVersion{{Sink: refuse}, {Transformer: fail}} {
		t.Run("drop settles and counts", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st.OnExhausted = ExhaustedDrop
				c := &counter{}
				r := start(t, Config{Observer: c}, st)
				m := r.give(r.ctx, "bad")
				synctest.Wait()
				r.want(m, nil)
				if c.settled[Dropped] != 1 || r.ends.outcomes[m] != connector.Dropped {
					t.Errorf("settled %v, outcome %s, want one dropped", c.settled, r.ends.outcomes[m])
				}
			})
		})
		t.Run("block holds for ever and says why", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st.OnExhausted = ExhaustedBlock
				r := start(t, Config{}, st)
				m := r.give(r.ctx, "bad")
				after(time.Hour)
				r.wantUnsettled(m)
				if h := r.Status().Held; len(h) != 1 || !strings.Contains(h[0].Reason, "the flow blocks on failures: boom") {
					t.Errorf("held %+v", h)
				}
			})
		})
	}
}

func TestRun_returnsTheSourcesErrorOnceAllIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		e := newEngine(Config{DrainTimeout: time.Second}, &testVersion{Transformer: transformFunc(asIs), Sink: g})
		s := &ends{t: t, by: map[string]error{}}
		sent, queued := &connector.Message{Key: []byte("k")}, &connector.Message{Key: []byte("k"), Position: connector.PartitionOffset("", 0, 1)}
		late := &connector.Message{Position: connector.PartitionOffset("", 0, 2)}
		for _, m := range []*connector.Message{sent, queued, late} {
			m.Bind(s)
		}
		err := e.Run(t.Context(), sourceFunc(func(ctx context.Context, h connector.Handler) error {
			h(connector.NewAssignment(ctx, "t-0"), []*connector.Message{sent, queued})
			g.came()
			return errBoom
		}))
		e.handle(connector.NewAssignment(t.Context(), "t-0"), []*connector.Message{late})
		if !errors.Is(err, errBoom) {
			t.Errorf("Run: %v", err)
		}
		for id, err := range s.by {
			if !errors.Is(err, connector.ErrInterrupted) {
				t.Errorf("%s was settled with %v", id, err)
			}
		}
		if s.n() != 3 {
			t.Errorf("%d of 3 were settled", s.n())
		}
		if err := e.Run(t.Context(), nil); err == nil {
			t.Error("a second Run did not fail")
		}
	})
}

func TestRetry_aPolicyWithoutDelayIsNoBusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := start(t, Config{}, testVersion{
			Retry: backoff.Policy{Kind: "constant", Max: 1},
			Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
				tries++
				return connector.AsUnavailable(errBoom, 0)
			}),
		})
		r.give(r.ctx, "k")
		after(time.Second)
		if tries > 21 {
			t.Errorf("%d tries in a second", tries)
		}
	})
}
