package supervisor

import (
	"context"
	"time"
)

// pause stops what runs; the commits in the source hold the flow's place.
func (f *flow) pause() {
	f.stopPipeline()
	f.closeUnused()
}

// launch starts want where nothing runs.
func (f *flow) launch(ctx context.Context, want Plan) error {
	p, err := f.build(want)
	if err != nil {
		return err
	}
	f.startPipeline(ctx, want, p)
	return nil
}

// replace builds want beside the running pipeline, drains that, and starts the
// new one where the old one committed.
func (f *flow) replace(ctx context.Context, want Plan) error {
	p, err := f.build(want)
	if err != nil {
		return err
	}
	f.log.Info("source changed: the running flow drains, the new one takes over")
	f.setState(state{phase: "running"}, "draining before a reload")
	f.stopPipeline()
	if ctx.Err() != nil {
		p.Close()
		return nil
	}
	f.startPipeline(ctx, want, p)
	return nil
}

// swap takes want over into the running pipeline. It waits no longer than a
// drain would: a swap that hangs ends in a replacement, so that a reload works
// while the sink does not (F13, https://github.com/vectordotdev/vector/issues/24125).
func (f *flow) swap(ctx context.Context, want Plan) error {
	bounded, cancel := context.WithTimeout(ctx, want.DrainTimeout()+f.grace)
	defer cancel()
	err := f.current.pipe.Swap(bounded, want)
	switch {
	case err == nil:
		f.current.plan = want
		return nil
	case ctx.Err() != nil:
		return nil
	case bounded.Err() != nil:
		f.log.Warn("swap takes too long: the flow is replaced as a whole", "error", err)
		return f.replace(ctx, want)
	}
	return err
}

// build uses what was built for the start, once.
func (f *flow) build(want Plan) (Pipeline, error) {
	f.mu.Lock()
	p, wanted := f.built, f.want
	f.built = nil
	f.mu.Unlock()
	if p != nil && wanted == want && f.current == nil {
		return p, nil
	}
	if p != nil {
		p.Close()
	}
	return want.Build()
}

// closeUnused closes what was built and never run.
func (f *flow) closeUnused() {
	f.mu.Lock()
	p := f.built
	f.built = nil
	f.mu.Unlock()
	if p != nil {
		p.Close()
	}
}

func (f *flow) startPipeline(ctx context.Context, def Plan, p Pipeline) {
	run, stop := context.WithCancel(ctx)
	r := &running{plan: def, pipe: p, stop: stop, ended: make(chan error, 1), started: time.Now()}
	f.current = r
	f.mu.Lock()
	f.pipe = p
	f.mu.Unlock()
	f.log.Info("flow starts")
	go func() { r.ended <- p.Run(run) }()
}

// stopPipeline stops what runs and waits for it, bounded: a pipeline that does not
// come back is given up and said so, rather than the flow.
func (f *flow) stopPipeline() {
	r := f.current
	if r == nil {
		return
	}
	r.stop()
	stuck := time.NewTimer(r.plan.DrainTimeout() + f.grace)
	defer stuck.Stop()
	select {
	case err := <-r.ended:
		if err != nil {
			f.log.Error("flow ended with an error", "error", err)
		}
	case <-stuck.C:
		f.log.Error("flow does not stop: it is given up", "after", r.plan.DrainTimeout()+f.grace)
	}
	f.clearPipeline()
}

func (f *flow) clearPipeline() {
	f.current = nil
	f.mu.Lock()
	f.pipe = nil
	f.mu.Unlock()
}

// exited records a pipeline that ended by itself. One that had run for longer
// than the longest wait begins its count anew.
func (f *flow) exited(ctx context.Context, err error) {
	r := f.current
	r.stop()
	f.clearPipeline()
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = errEnded
	}
	if time.Since(r.started) > f.restart.Max {
		f.attempts = 0
	}
	f.retryLater(r.plan, err)
	if want := f.wanted(); want != r.plan {
		f.tried = nil // a newer definition need not wait
	}
}
