package pipeline

import (
	"context"
	"fmt"

	"github.com/lsm/fiso/.ci/rules"
)

// Check is what a pull request must pass, cheapest first.
func (p *Pipeline) Check(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"rules", p.Rules},
		{"generate and tidy leave the tree as it is", p.Drift},
		{"lint", p.Lint},
		{"what each module is built from", p.Weight},
		{"the tests in full", p.TestAll},
		{"as a user gets it", p.Proxy},
	}
	for _, s := range steps {
		if err := p.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// Rules refuses what the rules about the tree refuse.
func (p *Pipeline) Rules(ctx context.Context) error {
	r, _, err := p.open(ctx)
	if err != nil {
		return err
	}
	found, err := rules.Check(r, rules.All())
	if err != nil {
		return err
	}
	return p.refuse(found)
}

// Weight refuses a module that is built from something too heavy for it.
func (p *Pipeline) Weight(ctx context.Context) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	found, err := rules.Weight(ctx, r, modules)
	if err != nil {
		return err
	}
	return p.refuse(found)
}

func (p *Pipeline) refuse(found []rules.Finding) error {
	for _, f := range found {
		p.say("%s", f)
	}
	if len(found) > 0 {
		return fmt.Errorf("%d places to mend, listed above", len(found))
	}
	return nil
}
