// Package sigterm stops one of two fiso-flow processes with SIGTERM, fifty times, while both
// deliver. Some events are refused temporarily, and every other time the service refuses
// everything. The scenario proves that a clean stop exits with 0 in time, loses nothing and
// repeats nothing.
package sigterm

import (
	"context"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "sigterm", Title: "SIGTERM to one of two processes", Faults: 50, Run: run}

func run(ctx context.Context, s *harness.Env) error {
	s.Service.SetMaxDelay(10 * time.Millisecond)
	s.Produce(ctx, harness.Load{PerSecond: 1200})
	var pair [2]*harness.Member
	for i, name := range []string{"a", "b"} {
		var err error
		if pair[i], err = s.StartDelivering(ctx, name, false); err != nil {
			return err
		}
	}
	times := s.ScaledCount(s.Faults)
	for i := range times {
		if err := s.Wait(ctx, s.Between(100*time.Millisecond, 700*time.Millisecond)); err != nil {
			return err
		}
		s.Fault("SIGTERM", times)
		s.Service.SetUnavailable(i%4 >= 2)
		if i%4 >= 2 {
			if err := s.Wait(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		m := pair[i%2]
		if err := m.Stop(ctx); err != nil {
			return err
		}
		s.Service.SetUnavailable(false)
		var err error
		if pair[i%2], err = s.StartDelivering(ctx, m.Name, false); err != nil {
			return err
		}
	}
	return s.Finish(ctx)
}
