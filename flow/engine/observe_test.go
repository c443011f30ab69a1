package engine

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

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/fault"
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

func (c *counter) TransformError(code fault.Code)  { count(c, &c.transforms, code) }
func (c *counter) SinkError(class connector.Class) { count(c, &c.sinks, class) }
func (c *counter) DeadLetter(code fault.Code)      { count(c, &c.letters, code) }

func (c *counter) Took(p Phase, d time.Duration, n int) {
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
		r := start(t, Config{Observer: c}, Stage{MaxRetries: 1,
			Processor: processorFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
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
		for i, key := range []string{"good", "filtered", "malformed", "slow", "poison"} {
			if i == 4 {
				r.morgue.fail(errDown)
			}
			r.give(r.ctx, key)
			after(10 * time.Second)
		}
		r.morgue.fail(nil)
		after(10 * time.Second)
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
		r := start(t, Config{Logger: log}, Stage{MaxRetries: 1, Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			switch string(ev.Key) {
			case "":
				return connector.AsPermanent(errBoom)
			case "away":
				if down.Load() {
					return connector.AsUnavailable(errDown)
				}
			}
			return nil
		})})
		for range 30 {
			r.give(r.ctx, "")
		}
		after(2 * time.Second)
		r.give(r.ctx, "")
		r.give(r.ctx, "away")
		after(5 * time.Second)
		down.Store(false)
		after(5 * time.Second)
		r.stop()
		<-r.done
		s := out.String()
		for line, n := range map[string]int{"Stored a dead letter": 11, "unsaid=20": 1, "Holding an event": 1, "No event is held": 1, "Trying an event again later": 6} {
			if got := strings.Count(s, line); got != n {
				t.Errorf("%q stands %d times in the log, want %d\n%s", line, got, n, s)
			}
		}
	})
}

func TestStatus_groupsAndBoundsTheReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, Stage{Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			return connector.AsUnavailable(&named{string(ev.Key)})
		})})
		for _, key := range []string{"c", "a", "b", "d", "e", "f", "g", "h", "i", "j"} {
			r.give(r.ctx, key)
		}
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		r.give(other, "j")
		after(time.Minute)
		h := r.Status().Held
		if len(h) != mostHolds || h[0] != (Hold{"the sink is unavailable: j", 2, time.Minute}) || h[1].Reason != "the sink is unavailable: a" {
			t.Errorf("held %+v", h)
		}
	})
}

type named struct{ name string }

func (n *named) Error() string { return n.name }
