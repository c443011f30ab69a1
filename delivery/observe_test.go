package delivery

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// counter is an Observer that counts.
type counter struct {
	mu         sync.Mutex
	settled    map[Status]int
	took       map[Phase][]time.Duration
	transforms map[fault.Code]int
	sinks      map[connector.Class]int
	letters    map[fault.Code]int
	retries    int
	unstored   int
	held       []int
}

func count[K comparable](c *counter, m *map[K]int, k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *m == nil {
		*m = map[K]int{}
	}
	(*m)[k]++
}

func (c *counter) Settled(s Status, n int) {
	for range n {
		count(c, &c.settled, s)
	}
}

func (c *counter) TransformError(code fault.Code)            { count(c, &c.transforms, code) }
func (c *counter) SinkError(_ string, class connector.Class) { count(c, &c.sinks, class) }
func (c *counter) Ended(string, Status, int)                 {}
func (c *counter) DeadLetter(code fault.Code)                { count(c, &c.letters, code) }

func (c *counter) Timed(p Phase, d time.Duration, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took == nil {
		c.took = map[Phase][]time.Duration{}
	}
	c.took[p] = append(c.took[p], slices.Repeat([]time.Duration{d}, n)...)
}

func (c *counter) Retry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retries++
}

func (c *counter) DeadLetterError() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unstored++
}

func (c *counter) Held(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, n)
}

func TestObserver_hearsEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		r := start(t, Config{Observer: c}, testVersion{MaxRetries: 1,
			Transformer: transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
				pass(time.Second)
				switch string(m.Key) {
				case "filtered":
					return nil, nil
				case "malformed":
					return nil, fault.New(fault.DecodeFailed, errBoom)
				}
				return asIs(ctx, m)
			}),
			Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
				pass(2 * time.Second)
				switch string(ev.Key) {
				case "slow":
					return errBoom
				case "poison":
					return connector.AsPermanent(errBoom)
				}
				return nil
			})})
		var given []string
		for i, key := range []string{"good", "filtered", "malformed", "slow", "poison"} {
			if i == 4 {
				r.letterStore.fail(errDown)
			}
			given = append(given, r.give(r.ctx, key))
			after(10 * time.Second)
		}
		r.letterStore.fail(nil)
		after(10 * time.Second)
		for i, want := range []connector.Outcome{connector.Delivered, connector.Filtered, connector.DeadLettered, connector.DeadLettered, connector.DeadLettered} {
			if got := r.ends.outcomes[given[i]]; got != want {
				t.Errorf("the source was told that %s is %s, want %s", given[i], got, want)
			}
		}
		ended, end := context.WithCancel(r.ctx)
		end()
		r.give(ended, "k")
		c.mu.Lock()
		defer c.mu.Unlock()
		for what, ok := range map[string]bool{
			"settled":     c.settled[Delivered] == 1 && c.settled[Filtered] == 1 && c.settled[DeadLettered] == 3 && c.settled[Interrupted] == 1 && len(c.settled) == 4,
			"transform":   len(c.took[PhaseTransform]) == 5 && c.took[PhaseTransform][0] == time.Second,
			"sink":        len(c.took[PhaseSink]) == 4 && c.took[PhaseSink][0] == 2*time.Second,
			"total":       len(c.took[PhaseTotal]) == 5 && c.took[PhaseTotal][0] == 3*time.Second,
			"transforms":  c.transforms[fault.DecodeFailed] == 1,
			"sink errors": c.sinks[connector.Temporary] == 2 && c.sinks[connector.Permanent] == 1,
			"letters":     c.letters[fault.DecodeFailed] == 1 && c.letters[fault.SinkDeliveryFailed] == 1 && c.letters[fault.SinkRejected] == 1,
			"unstored":    c.unstored > 3 && c.retries == c.unstored+1,
			"held":        len(c.held) == 2 && c.held[0] == 1 && c.held[1] == 0,
		} {
			if !ok {
				t.Errorf("%s: %+v", what, c)
			}
		}
	})
}

func TestLog_saysWhatAPersonNeedsAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var down atomic.Bool
		down.Store(true)
		r := start(t, Config{Logger: log}, testVersion{MaxRetries: 1, Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			switch string(ev.Key) {
			case "":
				return connector.AsPermanent(errBoom)
			case "away":
				if down.Load() {
					return connector.AsUnavailable(errDown, 0)
				}
			}
			return nil
		})})
		for range 30 {
			r.give(r.ctx, "")
		}
		after(2 * time.Second)
		r.give(r.ctx, "")
		synctest.Wait() // an answer to it would count against the next one
		r.give(r.ctx, "away")
		after(5 * time.Second)
		down.Store(false)
		after(5 * time.Second)
		r.stop()
		<-r.done
		s := out.String()
		for line, n := range map[string]int{"dead letter stored": 11, "suppressed=20": 1, "msg=\"event held\"": 1, "no events held": 1, "event retried later": 6} {
			if got := strings.Count(s, line); got != n {
				t.Errorf("%q appears %d times in the log, want %d\n%s", line, got, n, s)
			}
		}
	})
}

// U39: A line about one event names the event by its id, and the sink.
func TestLog_namesTheEventAndTheSink(t *testing.T) {
	for what, tc := range map[string]struct {
		unstored    bool
		onExhausted string
		bad         bool // the transform fails
		want        string
	}{
		"stored":                {false, "", false, `msg="dead letter stored" position=webhook id=made-up sink=api code=SINK_REJECTED`},
		"of the transform":      {false, "", true, `msg="dead letter stored" position=webhook id=made-up code=TRANSFORM_FAILED`},
		"held":                  {true, "", false, `msg="event held" position=webhook id=made-up sink=api reason="the dead letter`},
		"dropped":               {false, ExhaustedDrop, false, `msg="event dropped" position=webhook id=made-up sink=api code=SINK_REJECTED`},
		"held by the transform": {true, "", true, `msg="event held" position=webhook id=made-up reason="the dead letter`},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				r := start(t, Config{Logger: slog.New(slog.NewTextHandler(&out, nil))}, testVersion{})
				if tc.unstored {
					r.letterStore.fail(errBoom)
				}
				h := Handling{DeadLetter: r.letterStore, Retry: testRetry, OnExhausted: tc.onExhausted}
				refuse := sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) })
				r.Swap(t.Context(), &Version{Handling: h, Outputs: []Output{{Name: "api", Sink: refuse, Handling: h}, {Name: "other", Sink: refuse, Handling: h}},
					Transformer: single{transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
						if tc.bad {
							return nil, errBoom
						}
						return asIs(ctx, m)
					})}})
				m := r.message("")
				m.Position, m.ID = connector.Position{Stream: "webhook"}, "made-up"
				r.handOver(r.ctx, m)
				after(time.Second)
				r.stop()
				<-r.done
				if !strings.Contains(out.String(), tc.want) {
					t.Errorf("no line with %s in\n%s", tc.want, out.String())
				}
			})
		})
	}
}

// U11: a sink that asks for a pause of a day stops its keys for an hour at a time,
// and State did not show why.
func TestStatus_tellsOfALongPauseThatTheSinkAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		policy := backoff.Policy{Kind: backoff.Constant, Initial: time.Second, Max: 30 * time.Second}
		var ask atomic.Int64
		version := testVersion{MaxRetries: 3, Retry: policy, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			if d := ask.Load(); d > 0 {
				return connector.AsTemporary(errBoom, time.Duration(d))
			}
			return nil
		})}
		r := start(t, Config{Logger: slog.New(slog.NewTextHandler(&out, nil))}, version)

		ask.Store(int64(30 * time.Second))
		first := r.give(r.ctx, "k")
		synctest.Wait()
		if s := r.Status(); s.Asked != 0 || out.Len() > 0 {
			t.Errorf("a pause as long as the flow's own: %+v\n%s", s, out.String())
		}
		ask.Store(int64(24 * time.Hour))
		after(30 * time.Second)
		if s := r.Status(); s.Asked != 24*time.Hour || !s.AskedUntil.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("asked for %v until %v", s.Asked, s.AskedUntil)
		}
		if want := `level=WARN msg="sink asked for a long pause" position=`; strings.Count(out.String(), want) != 1 ||
			!strings.Contains(out.String(), " asked=24h0m0s delay=1h0m0s longest=1h0m0s error=boom suppressed=0") {
			t.Errorf("log:\n%s", out.String())
		}

		ask.Store(0)
		if !r.Swap(r.ctx, r.withDefaults(version).version()) {
			t.Fatal("the old version is still used")
		}
		synctest.Wait()
		r.want(first, nil)
		if s := r.Status(); s.Asked != 0 {
			t.Errorf("after a reload: %v", s.Asked)
		}
	})
}

func TestStatus_groupsAndBoundsTheReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{OnExhausted: ExhaustedBlock, Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			return connector.AsPermanent(&named{string(ev.Key)})
		})})
		const why = "SINK_REJECTED, and the flow blocks on failures: "
		for _, key := range []string{"c", "a", "b", "d", "e", "f", "g", "h", "i", "j"} {
			r.give(r.ctx, key)
		}
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		r.give(other, "j")
		after(time.Minute)
		h := r.Status().Held
		if len(h) != maxHolds || h[0].Reason != why+"j" || h[0].Cause != CauseBlocked || h[0].Events != 2 || h[0].Since != time.Minute || h[0].Err.Error() != "j" || h[1].Reason != why+"a" {
			t.Errorf("held %+v", h)
		}
		if s := r.Status(); s.HeldBy[CauseBlocked] != 11 || len(s.HeldBy) != 1 || s.Retrying != 0 {
			t.Errorf("held by %v, %d retries", s.HeldBy, s.Retrying)
		}
	})
}

type named struct{ name string }

func (n *named) Error() string { return n.name }
