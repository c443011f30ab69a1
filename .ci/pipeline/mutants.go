package pipeline

import (
	"context"

	"github.com/lsm/fiso/.ci/mutants"
)

// Mutants puts known faults back, one at a time, and wants the tests to find
// each; only is the beginning of the names of those to try, "" is all.
func (p *Pipeline) Mutants(ctx context.Context, only string) error {
	r, _, err := p.open(ctx)
	if err != nil {
		return err
	}
	work, err := p.dir(".build", "mutants")
	if err != nil {
		return err
	}
	return mutants.Run(ctx, r, work, only, p.Out)
}
