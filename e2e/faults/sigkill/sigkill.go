// Package sigkill kills one of two fiso-flow processes with SIGKILL, a hundred times, while both
// deliver, and starts it again. One is a static member and gets its partitions back at once; the
// partitions of the other move when its session expires. The scenario proves that a crash loses
// nothing and keeps the order of each key, and that only events in flight, or settled since the
// last commit, come again, with the same ids.
package sigkill

import (
	"context"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "sigkill", Title: "SIGKILL to one of two processes", Faults: 100, Run: run}

func run(ctx context.Context, s *harness.Env) error {
	s.Service.SetMaxDelay(10 * time.Millisecond)
	s.Produce(ctx, harness.Load{PerSecond: 1200})
	var pair [2]*harness.Member
	start := func(i int) (err error) {
		pair[i], err = s.StartDelivering(ctx, []string{"static", "dynamic"}[i], i == 0)
		return err
	}
	for i := range pair {
		if err := start(i); err != nil {
			return err
		}
	}
	times := s.ScaledCount(s.Faults)
	for i := range times {
		if err := s.Wait(ctx, s.Between(100*time.Millisecond, 700*time.Millisecond)); err != nil {
			return err
		}
		s.Fault("SIGKILL", times)
		pair[i%2].Kill()
		if err := start(i % 2); err != nil {
			return err
		}
	}
	return s.Finish(ctx)
}
