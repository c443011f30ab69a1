// Package poison sends events as fast as the machine takes them. One in a hundred can never be
// delivered: it is not JSON, or the service refuses it permanently. The scenario proves that
// exactly these events become dead letters, once and with the original bytes, and that no other
// event waits for them.
package poison

import (
	"context"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "poison", Title: "one event in a hundred is poison", Run: run}

// events is the number of events at scale 1.
const events = 300_000

func run(ctx context.Context, s *harness.Env) error {
	s.Produce(ctx, harness.Load{Total: s.ScaledCount(events), Kind: kind})
	for _, name := range []string{"a", "b"} {
		if _, err := s.StartDelivering(ctx, name, false); err != nil {
			return err
		}
	}
	if err := s.WaitProduced(ctx); err != nil {
		return err
	}
	return s.Finish(ctx)
}

func kind(n int) ledger.Kind {
	switch n % 200 {
	case 57:
		return ledger.Rejected
	case 157:
		return ledger.Broken
	case 99:
		return ledger.Filtered
	default:
		return ledger.Plain
	}
}
