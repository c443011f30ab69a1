package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lsm/fiso/common/backoff"
)

// errEnded is the reason of a pipeline that returned without being told to.
var errEnded = errors.New("the source ended by itself")

// flow brings one flow to what is wanted of it. All fields without a word are
// its owner goroutine's alone.
type flow struct {
	name    string
	log     *slog.Logger
	record  Recorder
	restart backoff.Policy
	grace   time.Duration
	wake    chan struct{} // capacity one: want changed
	done    chan struct{} // closed when the owner is gone and nothing runs
	cancel  context.CancelFunc

	current  *running
	applied  Plan // the last one that was taken over
	tried    Plan // what the last attempt that failed was for
	attempts int
	retryAt  time.Time

	mu    sync.Mutex // guards what the report reads and others write
	want  Plan
	built Pipeline // for the first start of want
	pipe  Pipeline // that of cur
	state state
	note  string // why the definition that is wanted does not run yet
}

// running is a pipeline in its Run, and the definition that it serves.
type running struct {
	plan    Plan
	pipe    Pipeline
	stop    context.CancelFunc
	ended   chan error // capacity one
	started time.Time
}

// state is what a person sees of a flow's life.
type state struct {
	phase  string // starting, running, paused, failed, stopping
	reason string // of failed
}

func newFlow(name string, want Plan, built Pipeline, o Options) *flow {
	return &flow{
		name: name, log: o.Logger.With("flow", name), record: o.Recorder,
		restart: o.Restart, grace: o.Grace,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		want: want, built: built, state: state{phase: "starting"},
	}
}

// start runs the owner. It begins once all of after are closed: flows that
// hold what this one may need, such as a port.
func (f *flow) start(ctx context.Context, after []<-chan struct{}) {
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx, after)
}

// set says what is wanted from now on. It does not wait.
func (f *flow) set(d Plan) {
	f.mu.Lock()
	f.want = d
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default: // the owner has yet to look, and will see this
	}
}

func (f *flow) wanted() Plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.want
}

func (f *flow) run(ctx context.Context, after []<-chan struct{}) {
	defer close(f.done)
	for _, d := range after {
		select {
		case <-d:
		case <-ctx.Done():
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if wait := f.reconcile(ctx); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		var ended chan error
		if f.current != nil {
			ended = f.current.ended
		}
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-timer.C:
		case err := <-ended:
			f.exited(ctx, err)
		}
	}
	f.setState(state{phase: "stopping"}, "")
	f.stopPipeline()
	f.closeUnused()
}

// reconcile does the one thing that brings the flow nearer to what is wanted,
// and returns how long to wait before trying again what failed (0: nothing
// is due).
func (f *flow) reconcile(ctx context.Context) time.Duration {
	want := f.wanted()
	if want == f.tried {
		if left := time.Until(f.retryAt); left > 0 {
			return left
		}
	} else {
		f.tried, f.attempts = nil, 0
	}
	var err error
	switch {
	case want.Paused():
		f.pause()
	case f.current == nil:
		err = f.launch(ctx, want)
	case f.current.plan == want:
	case f.current.plan.SourceKey() != want.SourceKey():
		err = f.replace(ctx, want)
	case f.current.plan.VersionKey() != want.VersionKey():
		err = f.swap(ctx, want)
	default:
		f.current.plan = want // it only reads differently
	}
	if err != nil {
		return f.retryLater(want, err)
	}
	if ctx.Err() == nil {
		f.setServed(want)
	}
	return 0
}

// setServed records that want is what the flow does now.
func (f *flow) setServed(want Plan) {
	phase := "running"
	if f.current == nil {
		phase = "paused"
	}
	f.setState(state{phase: phase}, "")
	if f.applied != nil && f.applied != want {
		f.record.Reloaded(f.name, true)
		f.log.Info("flow is reloaded", "phase", phase)
	}
	f.applied = want
}

// retryLater records that want could not be had, and when to try again.
func (f *flow) retryLater(want Plan, err error) time.Duration {
	f.attempts++
	wait := max(f.restart.Delay(f.attempts), time.Nanosecond)
	f.tried, f.retryAt = want, time.Now().Add(wait)
	if f.attempts == 1 {
		logPanic(f.log, err)
	}
	if f.applied != nil && f.applied != want {
		f.record.Reloaded(f.name, false)
	}
	if f.current == nil {
		f.log.Error("flow does not run: trying again", "error", err, "in", wait)
		f.setState(state{phase: "failed", reason: err.Error()}, "")
	} else {
		f.log.Error("changed flow cannot be taken over: the running one goes on", "error", err, "in", wait)
		f.setState(state{phase: "running"}, "the changed file cannot be taken over: "+err.Error())
	}
	return wait
}

func (f *flow) setState(s state, note string) {
	f.mu.Lock()
	f.state, f.note = s, note
	f.mu.Unlock()
}
