package outage

import (
	"context"
	"fmt"
	"sync"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
	"github.com/lsm/fiso/e2e/faults/internal/stage"
)

// inFlight is maxInFlight of the flow with two sinks. It is less than the number of events in an
// outage, so that the limit is reached.
const inFlight = 64

// near records what the available sink gets.
type near struct {
	mu       sync.Mutex
	came     map[int]bool
	newest   map[string]int // by key
	copies   int
	disorder int
}

func (n *near) take(a ledger.Arrival, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.came[a.Data.N] {
		n.copies++
	}
	n.came[a.Data.N] = true
	if newest, ok := n.newest[a.Data.Key]; ok && newest > a.Data.N {
		n.disorder++
	}
	n.newest[a.Data.Key] = a.Data.N
}

func (n *near) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.came)
}

// runTwo makes one of two sinks unavailable. Both sinks get every event.
func runTwo(ctx context.Context, s *stage.Stage) error {
	away, err := newSink(ctx, s.Ledger)
	if err != nil {
		return err
	}
	defer away.stop()
	stays, err := newSink(ctx, s.Ledger)
	if err != nil {
		return err
	}
	defer stays.stop()
	near := &near{came: map[int]bool{}, newest: map[string]int{}}
	stays.take = near.take
	flow := file(s, fmt.Sprintf("sinks:\n  - {name: away, type: http, config: {%s}}\n  - {name: stays, type: http, config: {%s}}\nrouting: all\ndelivery: {maxInFlight: %d}",
		address(away), address(stays), inFlight))
	k := kind{name: "two", title: "one of two sinks refuses connections", unseen: true, leave: stop, comeBack: start}
	s.Settled = func() bool { return near.count() == s.Ledger.Len() }
	ahead := 0
	check := func() error {
		commits, err := s.Kafka.Committed(ctx, s.Flow.Group, s.Topic)
		if err != nil {
			return err
		}
		ahead = near.count()
		for _, offset := range commits {
			ahead -= int(offset)
		}
		if ahead != inFlight*stage.Partitions {
			return fmt.Errorf("the sink that stays is %d events ahead of the commits, want maxInFlight of each partition, %d", ahead, inFlight*stage.Partitions)
		}
		return nil
	}
	if err := k.outage(ctx, s, away, flow, check); err != nil {
		return err
	}
	s.Note("the sink that stays went on to %d events ahead of the commits: maxInFlight (%d) of each of %d partitions", ahead, inFlight, stage.Partitions)
	if n := near.count(); n != s.Ledger.Len() || near.copies > 0 || near.disorder > 0 {
		return fmt.Errorf("the sink that stays got %d of %d events, %d copies, %d out of order", n, s.Ledger.Len(), near.copies, near.disorder)
	}
	return nil
}
