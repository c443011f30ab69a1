// Package poison sends as many events as the machine takes, of which one in a
// hundred can never be delivered: no JSON, or refused by the service for good.
// It proves that each of them, and nothing else, becomes a dead letter, byte for
// byte and once, and that nobody waits for them.
package poison

import (
	"context"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
	"github.com/lsm/fiso/e2e/faults/internal/stage"
)

// Scenario is this one.
var Scenario = stage.Scenario{Name: "poison", Title: "one event in a hundred is poison", Run: run}

// events is how many there are in the long form.
const events = 300_000

func run(ctx context.Context, s *stage.Stage) error {
	s.Produce(ctx, stage.Load{Total: s.Times(events), Kind: kind})
	for _, name := range []string{"a", "b"} {
		if _, err := s.StartBusy(ctx, name, false); err != nil {
			return err
		}
	}
	if err := s.Produced(ctx); err != nil {
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
