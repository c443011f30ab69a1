package temporal

import (
	"context"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

// byID passes the id of an event as its value, which the scenarios compare.
type byID struct{ *Source }

func (s byID) Run(ctx context.Context, handle connector.Handler) error {
	return s.Source.Run(ctx, func(a *connector.Assignment, ms []*connector.Message) {
		for _, m := range ms {
			m.Value = []byte(m.ID)
		}
		handle(a, ms)
	})
}

// sourceHarness is a task queue on which workflows call fiso.publish, each call at once.
func sourceHarness(t testing.TB, maxInFlight int, pollsComplete bool) connectortest.SourceHarness {
	f := newFakeTemporal(t)
	f.pollsComplete = pollsComplete
	return connectortest.SourceHarness{
		New: func(t testing.TB) connector.Source {
			cfg := sourceConfig(f)
			cfg.MaxInFlight = maxInFlight
			return byID{newTestSource(t, cfg, SourceOptions{})}
		},
		Produce: func(_ testing.TB, in ...connectortest.Input) {
			for _, x := range in {
				f.call(x.Value, func(c *fakeCall) { c.heartbeat = time.Second }, plainJSON(eventJSON(x.Value, x.Key)))
			}
		},
		Taken: func(testing.TB) int {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.taken
		},
		ReadAhead:  maxInFlight,
		Disconnect: func(testing.TB) { f.disconnect() },
		Answer: func(_ testing.TB, value string) (ok, answered bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			c := f.calls[value]
			return c != nil && c.result != nil, c != nil && (c.closed || len(c.failures) > 0)
		},
	}
}

func TestSource_conforms(t *testing.T) {
	features := connectortest.Features{
		Guarantees: SourceGuarantees, Keys: true, Answers: true, Reports: true, Reconnects: true,
	}
	connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness { return sourceHarness(t, 16, false) })
}

// With the default retry policy of Temporal, which has no end, what was not settled comes
// again. The source does not declare it, because a workflow may choose another policy. This
// server completes polls when a worker shuts down, as newer ones do.
func TestSource_redeliversByTheDefaultRetryPolicy(t *testing.T) {
	features := connectortest.Features{Guarantees: connector.Guarantees{Redelivers: true, Assigns: true}, Reports: true}
	connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness { return sourceHarness(t, 16, true) })
}

// A workflow that awaits each call has its order.
func TestSource_keepsTheOrderOfAWorkflowThatAwaitsEachCall(t *testing.T) {
	f := newFakeTemporal(t)
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
	var want []string
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		f.closed(f.call(id, nil, plainJSON(eventJSON(id, "k"))))
		want = append(want, id)
	}
	for i, m := range r.messages() {
		if m.ID != want[i] {
			t.Errorf("message %d is %q, want %q", i, m.ID, want[i])
		}
	}
}

// Several sources share the calls of a task queue, as Guarantees.Assigns says.
func TestSource_sharesATaskQueue(t *testing.T) {
	f := newFakeTemporal(t)
	cfg := sourceConfig(f)
	cfg.MaxInFlight = 1
	one, other := start(t, newTestSource(t, cfg, SourceOptions{}), nil), start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	f.call("a", nil, plainJSON(eventJSON("a", "k")))
	f.call("b", nil, plainJSON(eventJSON("b", "k")))
	until(t, "each source has one event", func() bool { return len(one.messages()) == 1 && len(other.messages()) == 1 })
	one.first().Settle(nil)
	other.first().Settle(nil)
}

// waitTime is how long a test watches for what must not happen.
const waitTime = 100 * time.Millisecond
