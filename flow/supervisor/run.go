package supervisor

import (
	"context"
	"time"
)

// pause stops the pipeline. The commits of the source stay, so that the flow continues there
// later.
func (f *flow) pause() {
	f.stopPipeline()
	f.closeUnused()
}

// launch builds and starts want; no pipeline runs yet.
func (f *flow) launch(ctx context.Context, want Plan) error {
	p, err := f.build(want)
	if err != nil {
		return err
	}
	f.startPipeline(ctx, want, p)
	return nil
}

// replace builds want while the old pipeline runs, drains and stops the old one, and starts the
// new one, which continues at the last commits.
func (f *flow) replace(ctx context.Context, want Plan) error {
	p, err := f.build(want)
	if err != nil {
		return err
	}
	f.log.Info("source changed, replacing pipeline")
	f.setState(state{phase: "running"}, "draining before a reload")
	f.stopPipeline()
	if ctx.Err() != nil {
		p.Close()
		return nil
	}
	f.startPipeline(ctx, want, p)
	return nil
}

// swap applies want to the running pipeline. It waits at most as long as a drain. If the swap
// hangs, swap replaces the pipeline, so that a reload works while the sink does not answer (F13,
// https://github.com/vectordotdev/vector/issues/24125).
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
		f.log.Warn("swap timed out, replacing pipeline", "error", err)
		return f.replace(ctx, want)
	}
	return err
}

// build returns the pipeline that was built before the start, if it still fits, or builds a new
// one.
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

// closeUnused closes a pipeline that was built and never run.
func (f *flow) closeUnused() {
	f.mu.Lock()
	p := f.built
	f.built = nil
	f.mu.Unlock()
	if p != nil {
		p.Close()
	}
}

func (f *flow) startPipeline(ctx context.Context, plan Plan, p Pipeline) {
	run, stop := context.WithCancel(ctx)
	r := &running{plan: plan, pipe: p, stop: stop, ended: make(chan error, 1), started: time.Now()}
	f.current = r
	f.mu.Lock()
	f.pipe = p
	f.mu.Unlock()
	f.log.Info("flow started")
	go func() { r.ended <- p.Run(run) }()
}

// stopPipeline stops the pipeline and waits for it, but no longer than drain timeout plus grace:
// then it abandons the pipeline and logs an error, so that the flow can continue.
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
			f.log.Error("flow stopped with an error", "error", err)
		}
	case <-stuck.C:
		f.log.Error("flow did not stop in time", "after", r.plan.DrainTimeout()+f.grace)
	}
	f.clearPipeline()
}

func (f *flow) clearPipeline() {
	f.current = nil
	f.mu.Lock()
	f.pipe = nil
	f.mu.Unlock()
}

// exited records a pipeline that ended by itself and schedules a restart. If it had run longer
// than the longest backoff, the backoff starts again.
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
		f.tried = nil // apply a newer plan without waiting
	}
}
