package plan

import (
	"context"

	"github.com/lsm/fiso/common/connector"
)

// Check is the result of checking one part of a flow.
type Check struct {
	Part  string // source, sink or dead letters
	What  string // the settings of the part in one line
	Steps []connector.Step
}

// Failed reports whether a step failed.
func (c Check) Failed() bool {
	for _, s := range c.Steps {
		if s.Err != nil {
			return true
		}
	}
	return false
}

// Check connects to the source, the sinks and the places for dead letters, step by step, and
// changes nothing there. A part that cannot be checked has no steps.
func (p *Plan) Check(ctx context.Context, env Env) (checks []Check) {
	err := p.Guard(func() error {
		checks = append(checks, p.checkSource(ctx, env))
		for _, o := range p.outputs {
			checks = append(checks, p.checkSink(ctx, env, o))
		}
		for _, l := range p.deadLetterPlaces() {
			checks = append(checks, Check{"dead letters", l.describe(), l.check(ctx)})
		}
		return nil
	})
	if err != nil {
		checks = append(checks, Check{"flow", p.File, []connector.Step{{Name: "check", Err: err}}})
	}
	return checks
}

func (p *Plan) checkSource(ctx context.Context, env Env) Check {
	c := Check{Part: "source", What: p.source.describe()}
	s, err := p.Source(env)
	if err != nil {
		c.Steps = []connector.Step{{Name: "read the settings", Err: err}}
		return c
	}
	if checker, ok := s.(connector.Checker); ok {
		c.Steps = checker.Check(ctx)
	}
	return c
}

func (p *Plan) checkSink(ctx context.Context, env Env, o *output) Check {
	c := Check{Part: "sink", What: o.sink.describe()}
	if p.hasManySinks() {
		c.Part = "sink " + o.Name
	}
	s, err := o.sink.build(env)
	if err != nil {
		c.Steps = []connector.Step{{Name: "read the settings", Err: err}}
		return c
	}
	if checker, ok := s.(connector.Checker); ok {
		c.Steps = checker.Check(ctx)
	}
	_ = s.Close(ctx) // nothing was sent
	return c
}
