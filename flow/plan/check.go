package plan

import (
	"context"

	"github.com/lsm/fiso/common/connector"
)

// Check is what was tried of one part of a flow.
type Check struct {
	Part  string // source, sink or dead letters
	What  string // for a person: the part's settings in a line
	Steps []connector.Step
}

// Failed reports whether a step did not work.
func (c Check) Failed() bool {
	for _, s := range c.Steps {
		if s.Err != nil {
			return true
		}
	}
	return false
}

// Check tries to reach the source, the sink and the place for dead letters,
// step by step, and changes nothing there. A part that cannot be tried has no
// steps.
func (b *Plan) Check(ctx context.Context, env Env) (checks []Check) {
	err := b.Guard(func() error {
		checks = append(checks, b.checkSource(ctx, env))
		for _, o := range b.outputs {
			checks = append(checks, b.checkSink(ctx, env, o))
		}
		for _, l := range b.places() {
			checks = append(checks, Check{"dead letters", l.describe(), l.check(ctx)})
		}
		return nil
	})
	if err != nil {
		checks = append(checks, Check{"flow", b.File, []connector.Step{{Name: "check", Err: err}}})
	}
	return checks
}

func (b *Plan) checkSource(ctx context.Context, env Env) Check {
	c := Check{Part: "source", What: b.source.describe()}
	s, err := b.Source(env)
	if err != nil {
		c.Steps = []connector.Step{{Name: "read the settings", Err: err}}
		return c
	}
	if checker, ok := s.(connector.Checker); ok {
		c.Steps = checker.Check(ctx)
	}
	return c
}

func (b *Plan) checkSink(ctx context.Context, env Env, o *output) Check {
	c := Check{Part: "sink", What: o.sink.describe()}
	if b.several() {
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
