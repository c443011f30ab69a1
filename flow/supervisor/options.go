package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/reload"
)

// Plan is a flow as its file says, checked as a whole; nothing of it is
// built and nothing was connected. It does not change.
type Plan interface {
	// Name is unique in the instance.
	Name() string
	// Paused flows hold their place: no pipeline runs.
	Paused() bool
	// Files are the further files that the flow refers to.
	Files() []string
	// SourceKey is equal for two definitions whose source and engine bounds
	// are the same; where it differs, a reload needs a new pipeline.
	SourceKey() string
	// VersionKey is equal for two definitions whose transform, sink and error
	// handling are the same; where only it differs, Pipeline.Swap will do.
	VersionKey() string
	// DrainTimeout bounds how long Pipeline.Run goes on after its context.
	DrainTimeout() time.Duration
	// Build makes the flow's parts. It connects to nothing.
	Build() (Pipeline, error)
}

// Pipeline is a flow that is built. Its owner calls Run or Close once, and
// Swap not beside either's return.
type Pipeline interface {
	// Run moves events until ctx ends, drains, lets go of everything and
	// returns nil; an error, or an early nil, means that it ended by itself.
	Run(ctx context.Context) error
	// Swap takes over transform, sink and error handling of a definition with
	// the same SourceKey while the source keeps running. An error means that d
	// is not in force: the pipeline works on as before, and the swap is tried
	// again; where ctx had ended, the pipeline is replaced. Once d is in force
	// Swap returns nil, whatever becomes of calls that were under way before.
	Swap(ctx context.Context, d Plan) error
	// Status is cheap and safe for concurrent use.
	Status() Status
	// Close lets go of a pipeline that is not run.
	Close()
}

// Status is how a pipeline stands at one moment.
type Status struct {
	// Problem is empty while the flow works, or says for a person why it does
	// not: then it is not ready.
	Problem string
	// Unreached: what it reads from has not answered since it runs.
	Unreached bool
	// Notes are remarks for a person that do not make the flow unready.
	Notes []string
}

// Recorder counts what happens to configuration. It is safe for concurrent use.
type Recorder interface {
	// Reloaded counts a changed definition that was taken over, or was not.
	Reloaded(flow string, ok bool)
	// Valid says whether the flow's file is valid as it stands.
	Valid(flow string, ok bool)
	// Forget drops the gauges of a flow that was removed.
	Forget(flow string)
}

// Options say what a Supervisor owns. Paths and Load are required.
type Options struct {
	// Paths are directories of flow files, or single files.
	Paths []string
	// Load reads a flow file: strictly, and without any connection. Its error
	// is shown to a person as it is.
	Load func(file string, data []byte) (Plan, error)
	// Refers names the further files that a flow file refers to which Load has
	// refused, as far as it can: it is loaded again when one of them changes.
	// It may be nil.
	Refers func(file string, data []byte) []string
	// Watcher is closed by Run. Nil: the files are only polled.
	Watcher reload.Watcher
	// Recorder may be nil.
	Recorder Recorder
	// Logger may be nil.
	Logger *slog.Logger
	// Debounce and Poll are those of reload.Options.
	Debounce, Poll time.Duration
	// Restart says how long to wait before a flow that ended by itself is
	// started again; default 1s doubling to 1m.
	Restart backoff.Policy
	// Grace is added to a flow's drain timeout before its pipeline, or a swap
	// of it, is given up as stuck; default 10s.
	Grace time.Duration
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Paths) == 0 || o.Load == nil {
		return o, errors.New("supervisor: Paths and Load are required")
	}
	if o.Refers == nil {
		o.Refers = func(string, []byte) []string { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Recorder == nil {
		o.Recorder = noRecorder{}
	}
	if o.Restart == (backoff.Policy{}) {
		o.Restart = backoff.Policy{Kind: backoff.Exponential, Initial: time.Second, Max: time.Minute, Jitter: 0.2}
	}
	if o.Grace <= 0 {
		o.Grace = 10 * time.Second
	}
	return o, nil
}

type noRecorder struct{}

func (noRecorder) Reloaded(string, bool) {}
func (noRecorder) Valid(string, bool)    {}
func (noRecorder) Forget(string)         {}
