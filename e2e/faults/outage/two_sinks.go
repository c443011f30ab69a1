package outage

import (
	"context"
	"fmt"
	"sync"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// inFlight is maxInFlight of the flow with two sinks. It is less than the number of events in an
// outage, so that the limit is reached.
const inFlight = 64

// availableSink records what the available sink gets.
type availableSink struct {
	mu         sync.Mutex
	arrived    map[int]bool
	newest     map[string]int // by key
	duplicates int
	outOfOrder int
}

func (n *availableSink) take(a ledger.Arrival, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.arrived[a.Data.N] {
		n.duplicates++
	}
	n.arrived[a.Data.N] = true
	if newest, ok := n.newest[a.Data.Key]; ok && newest > a.Data.N {
		n.outOfOrder++
	}
	n.newest[a.Data.Key] = a.Data.N
}

func (n *availableSink) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.arrived)
}

// runTwo makes one of two sinks unavailable. Both sinks get every event.
func runTwo(ctx context.Context, s *harness.Env) error {
	down, err := newSink(ctx, s.Ledger)
	if err != nil {
		return err
	}
	defer down.stop()
	available, err := newSink(ctx, s.Ledger)
	if err != nil {
		return err
	}
	defer available.stop()
	received := &availableSink{arrived: map[int]bool{}, newest: map[string]int{}}
	available.take = received.take
	flow := file(s, fmt.Sprintf("sinks:\n  - {name: down, type: http, config: {%s}}\n  - {name: available, type: http, config: {%s}}\n"+
		"routing: all\ndelivery: {maxInFlight: %d}",
		address(down), address(available), inFlight))
	k := kind{name: "two", title: "one of two sinks refuses connections", noCallsSeen: true, begin: stop, end: start}
	s.Settled = func() bool { return received.count() == s.Ledger.Len() }
	ahead := 0
	check := func() error {
		commits, err := s.Kafka.Committed(ctx, s.Flow.Group, s.Topic)
		if err != nil {
			return err
		}
		ahead = received.count()
		for _, offset := range commits {
			ahead -= int(offset)
		}
		if ahead != inFlight*harness.Partitions {
			return fmt.Errorf("the available sink is %d events ahead of the commits, want maxInFlight of each partition, %d", ahead, inFlight*harness.Partitions)
		}
		return nil
	}
	if err := k.outage(ctx, s, down, flow, check); err != nil {
		return err
	}
	s.Note("the available sink is %d events ahead of the commits: maxInFlight (%d) of each of %d partitions", ahead, inFlight, harness.Partitions)
	if n := received.count(); n != s.Ledger.Len() || received.duplicates > 0 || received.outOfOrder > 0 {
		return fmt.Errorf("the available sink got %d of %d events, %d duplicates, %d out of order", n, s.Ledger.Len(), received.duplicates, received.outOfOrder)
	}
	return nil
}
