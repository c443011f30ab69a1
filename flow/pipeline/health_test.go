package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/supervisor"
)

// U11 (among others): a pause of a day that the sink asked for was shown nowhere.
func TestHealth_saysWhyAFlowIsNotReady(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := []connector.PartitionStatus{{Stream: "orders", Partition: 3, Lag: 5, Progress: now}}
	stuck := func(n int) []connector.PartitionStatus {
		var all []connector.PartitionStatus
		for i := range n {
			all = append(all, connector.PartitionStatus{Stream: "orders", Partition: int32(i), Lag: 1, Progress: now.Add(-3 * time.Minute)})
		}
		return all
	}
	for _, tc := range []struct {
		name string
		h    *health
		src  connector.Status
		eng  delivery.State
		want string // "": ready
		note string
	}{
		{"ready", &health{assigns: true}, connector.Status{Partitions: good}, delivery.State{}, "", ""},
		{"the source has a problem", &health{assigns: true}, connector.Status{Problem: "broker b:9092: connection refused"}, delivery.State{}, "source: broker b:9092: connection refused", ""},
		{"no partition yet", &health{assigns: true, started: now.Add(-time.Second)}, connector.Status{}, delivery.State{}, "starting: no partition is assigned yet", ""},
		{"no partition for this member", &health{assigns: true, started: now.Add(-time.Minute)}, connector.Status{}, delivery.State{}, "", ""},
		{"it had one, and waits for another", &health{assigns: true, assigned: true, started: now}, connector.Status{}, delivery.State{}, "", ""},
		{"no broker has partitions", &health{started: now}, connector.Status{}, delivery.State{}, "", ""},
		{"the line is stopped", &health{}, connector.Status{}, delivery.State{Closed: []delivery.Closed{{Why: "the line is stopped: 401"}}}, "the line is stopped: 401", ""},
		{"dead letters are refused", &health{}, connector.Status{}, delivery.State{Held: []delivery.Hold{{Reason: "too large", Events: 1, Since: 61400 * time.Millisecond}, {Reason: "away", Events: 2, Since: 12 * time.Millisecond}}},
			"1 event held for 1m1s: too large; 2 events held for 12ms: away", ""},
		{"lag without progress", &health{}, connector.Status{Partitions: stuck(1)}, delivery.State{}, "no progress on orders/0 for 3m0s, with 1 event behind", ""},
		{"many of those", &health{}, connector.Status{Partitions: stuck(9)}, delivery.State{}, "and on 4 more partitions", ""},
		{"a gap", &health{}, connector.Status{Notes: []string{"a gap"}}, delivery.State{LastError: "boom", LastErrorAt: now}, "", "a gap|last error, 2026-01-02T03:04:05Z: boom"},
		{"a long pause", &health{}, connector.Status{}, delivery.State{Asked: 24 * time.Hour, AskedUntil: now}, "",
			"the sink asked for a pause of 24h0m0s (Retry-After, of which at most 1h0m0s is kept): the next try is at 2026-01-02T03:04:05Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.h.stall, tc.h.first = 2*time.Minute, 15*time.Second
			s := tc.h.judge(now, tc.src, tc.eng)
			if !strings.HasSuffix(s.Problem, tc.want) || tc.want == "" && s.Problem != "" {
				t.Errorf("problem = %q", s.Problem)
			}
			if got := strings.Join(s.Notes, "|"); got != tc.note {
				t.Errorf("notes = %q", got)
			}
		})
	}
}

// failing is a source that fails at once and has no status.
type failing struct{ err error }

func (failing) Guarantees() connector.Guarantees { return connector.Guarantees{} }

func (f failing) Run(context.Context, connector.Handler) error { return f.err }

func TestPipeline_namesTheSourceWhenItFails(t *testing.T) {
	l := NewLoader(Options{})
	d, err := l.Load("a.yaml", []byte("name: a\nsource: {type: http, config: {listen: '127.0.0.1:0'}}\nsink: {type: stdout}\nerrorHandling: {onExhausted: block}\n"))
	if err != nil {
		t.Fatal(err)
	}
	built, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	p := built.(*Pipeline)
	p.source = failing{context.DeadlineExceeded}
	if err := p.Run(t.Context()); err == nil || err.Error() != "source: context deadline exceeded" {
		t.Errorf("error = %v", err)
	}
	if s := p.Status(); s.Problem != "" || p.metrics().InFlight != 0 {
		t.Errorf("status = %+v", s)
	}
	if err := p.Swap(t.Context(), foreignPlan{}); err == nil {
		t.Error("swaps to anything")
	}
}

// foreignPlan is a plan of another type.
type foreignPlan struct{ supervisor.Plan }
