// Package reload changes the flow file of a running process fifty times: half of the times while
// the service refuses everything, some in quick succession, and every fifth also changes the
// source. The scenario proves that each change takes effect, that the last one wins, and that
// nothing is lost, repeated or reordered.
package reload

import (
	"context"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "reload", Title: "reloads, half of them while the service refuses everything", Faults: 50, Run: run}

func run(ctx context.Context, s *harness.Env) error {
	s.Service.SetMaxDelay(10 * time.Millisecond)
	s.Produce(ctx, harness.Load{PerSecond: 1200})
	m, err := s.StartDelivering(ctx, "reloaded", false)
	if err != nil {
		return err
	}
	if _, err := s.StartDelivering(ctx, "steady", false); err != nil {
		return err
	}
	times := s.ScaledCount(s.Faults)
	for i := range times {
		if err := s.Wait(ctx, s.Between(0, 300*time.Millisecond)); err != nil {
			return err
		}
		outage := i%2 == 1
		s.Service.SetUnavailable(outage)
		if outage {
			if err := s.Wait(ctx, s.Between(0, 300*time.Millisecond)); err != nil {
				return err
			}
		}
		s.Fault("reload", times)
		version, err := m.Reload()
		for range i % 10 / 8 * 2 { // two more saves, now and then
			if err == nil {
				version, err = m.Reload()
			}
		}
		if err != nil {
			return err
		}
		if outage {
			if err := s.Wait(ctx, s.Between(500*time.Millisecond, 2*time.Second)); err != nil {
				return err
			}
			s.Service.SetUnavailable(false)
		}
		if err := m.Reached(ctx, version); err != nil {
			return err
		}
	}
	return s.Finish(ctx)
}
