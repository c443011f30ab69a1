package pipeline

import (
	"context"
	"time"

	"github.com/lsm/fiso/.ci/mutants"
)

// mutantTimeout is how long the tests of one mutant may take. Those that wait for
// what will not come give up after twenty seconds.
const mutantTimeout = 2 * time.Minute

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
	return mutants.Run(ctx, r, mutants.Options{Work: work, Only: only, Timeout: mutantTimeout, Out: p.Out})
}
