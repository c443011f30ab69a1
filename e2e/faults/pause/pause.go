// Package pause stops a fiso-flow process with SIGSTOP for longer than its session timeout, so
// that another process takes over, and then continues it. The process still counts itself as
// the owner of its partitions. The scenario proves that it commits nothing for partitions that it has lost,
// detects the loss, and joins the group again.
package pause

import (
	"context"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "pause", Title: "SIGSTOP for longer than the session lasts", Faults: 10, Run: run}

func run(ctx context.Context, s *harness.Env) error {
	s.Service.SetMaxDelay(10 * time.Millisecond)
	s.Produce(ctx, harness.Load{PerSecond: 1200})
	other, err := s.StartDelivering(ctx, "steady", false)
	if err != nil {
		return err
	}
	times := s.ScaledCount(s.Faults)
	for range times {
		m, err := s.StartDelivering(ctx, "paused", false)
		if err != nil {
			return err
		}
		if err := s.Wait(ctx, s.Between(100*time.Millisecond, 900*time.Millisecond)); err != nil {
			return err
		}
		s.Fault("SIGSTOP", times)
		m.Pause()
		if err := s.Wait(ctx, s.Flow.SessionTimeout+s.Between(time.Second, 2*time.Second)); err != nil {
			return err
		}
		if err := other.WaitDelivered(ctx, 100); err != nil {
			return err
		}
		m.Continue()
		if err := m.WaitDelivered(ctx, 100); err != nil {
			return err
		}
		if err := m.Stop(ctx); err != nil {
			return err
		}
	}
	return s.Finish(ctx)
}
