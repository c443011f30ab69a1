package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lsm/fiso/common/backoff"
)

// errEnded is the reason of a pipeline that returned without being stopped.
var errEnded = errors.New("the source stopped by itself")

// flow keeps one flow in its wanted state. Only the owner goroutine uses the fields above mu.
type flow struct {
	name    string
	log     *slog.Logger
	record  Recorder
	restart backoff.Policy
	grace   time.Duration
	wake    chan struct{} // capacity 1: want has changed
	done    chan struct{} // closed when the owner goroutine has ended and nothing runs
	cancel  context.CancelFunc

	current  *running
	applied  Plan // the last plan that came into force
	tried    Plan // the plan of the last failed attempt
	attempts int
	retryAt  time.Time

	mu    sync.Mutex // guards the fields below, which other goroutines read or write
	want  Plan
	built Pipeline // built before the start, for the first launch
	pipe  Pipeline // the pipeline of current, for report
	state state
	note  string // why the wanted plan is not in force yet
}

// running is a pipeline whose Run is active, and its plan.
type running struct {
	plan    Plan
	pipe    Pipeline
	stop    context.CancelFunc
	ended   chan error // capacity 1
	started time.Time
}

// state is the part of a flow's status that users see.
type state struct {
	phase  string // starting, running, paused, failed, stopping
	reason string // only in phase failed
}

func newFlow(name string, want Plan, built Pipeline, o Options) *flow {
	return &flow{
		name: name, log: o.Logger.With("flow", name), record: o.Recorder,
		restart: o.Restart, grace: o.Grace,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		want: want, built: built, state: state{phase: "starting"},
	}
}

// start starts the owner goroutine. It waits until all of after are closed: flows that may hold
// what this one needs, such as a port.
func (f *flow) start(ctx context.Context, after []<-chan struct{}) {
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx, after)
}

// set replaces the wanted plan. It does not block.
func (f *flow) set(d Plan) {
	f.mu.Lock()
	f.want = d
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default: // already signalled; the owner will read this plan
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

// reconcile takes one step towards the wanted plan. It returns how long to wait before a failed
// step is tried again, or 0 if none is due.
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
		f.current.plan = want // the same settings, written differently
	}
	if err != nil {
		return f.retryLater(want, err)
	}
	if ctx.Err() == nil {
		f.setServed(want)
	}
	return 0
}

// setServed records that want is in force.
func (f *flow) setServed(want Plan) {
	phase := "running"
	if f.current == nil {
		phase = "paused"
	}
	f.setState(state{phase: phase}, "")
	if f.applied != nil && f.applied != want {
		f.record.Reloaded(f.name, true)
		f.log.Info("flow reloaded", "phase", phase)
	}
	f.applied = want
}

// retryLater records a failed attempt to apply want and schedules the next one.
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
		f.log.Error("flow failed, will retry", "error", err, "wait", wait)
		f.setState(state{phase: "failed", reason: err.Error()}, "")
	} else {
		f.log.Error("cannot apply changed flow, will retry", "error", err, "wait", wait)
		f.setState(state{phase: "running"}, "the changed file cannot be applied: "+err.Error())
	}
	return wait
}

func (f *flow) setState(s state, note string) {
	f.mu.Lock()
	f.state, f.note = s, note
	f.mu.Unlock()
}
