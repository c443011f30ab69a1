package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/reload"
)

// Plan is a flow file that passed all checks. Nothing is built or connected yet. A Plan is
// immutable.
type Plan interface {
	// Name returns the name of the flow, which is unique in the instance.
	Name() string
	// Paused reports whether the flow must not run. Its source keeps its commits.
	Paused() bool
	// Files returns the other files that the flow refers to.
	Files() []string
	// SourceKey is equal for plans with the same source and engine settings. If it differs, a
	// reload needs a new pipeline.
	SourceKey() string
	// VersionKey is equal for plans with the same transform, sinks and error handling. If only it
	// differs, Pipeline.Swap is enough.
	VersionKey() string
	// DrainTimeout limits how long Pipeline.Run continues after its context ended.
	DrainTimeout() time.Duration
	// Build builds the parts of the flow. It opens no connection.
	Build() (Pipeline, error)
}

// Pipeline is a flow that was built. Its owner calls either Run or Close, once. Swap is only
// called while Run is active.
type Pipeline interface {
	// Run moves events until ctx ends, drains, closes everything and returns nil. An error, or nil
	// before ctx ended, means that the flow stopped by itself.
	Run(ctx context.Context) error
	// Swap replaces transform, sinks and error handling by those of d, which has the same
	// SourceKey, while the source keeps running. An error means that nothing changed: the
	// supervisor tries the swap again, or replaces the pipeline if ctx had ended. Once d is in
	// force, Swap returns nil, even if calls that began earlier are still active.
	Swap(ctx context.Context, d Plan) error
	// Status is cheap and safe for concurrent use.
	Status() Status
	// Close closes a pipeline that was never run.
	Close()
}

// Status is the state of a pipeline at one moment.
type Status struct {
	// Problem tells the user why the flow does not work. Empty: the flow is ready.
	Problem string
	// Unreached: the servers of the source have not answered since the start.
	Unreached bool
	// Notes are remarks for the user that do not make the flow unready.
	Notes []string
}

// Recorder counts configuration changes. It is safe for concurrent use.
type Recorder interface {
	// Reloaded counts a changed flow; ok reports whether the change is in force.
	Reloaded(flow string, ok bool)
	// Valid records whether the flow file is valid now.
	Valid(flow string, ok bool)
	// Forget deletes the gauges of a removed flow.
	Forget(flow string)
}

// Options configure a Supervisor. Paths and Load are required.
type Options struct {
	// Paths are directories of flow files, or single files.
	Paths []string
	// Load parses a flow file strictly and opens no connection. Its error is shown to users
	// unchanged.
	Load func(file string, data []byte) (Plan, error)
	// Refers returns the files that a faulty flow file refers to, as far as they are known. The
	// flow file is loaded again when one of them changes. Optional.
	Refers func(file string, data []byte) []string
	// Watcher is closed by Run. nil: the files are only polled.
	Watcher reload.Watcher
	// Recorder is optional.
	Recorder Recorder
	// Logger is optional.
	Logger *slog.Logger
	// Debounce and Poll are passed to package reload.
	Debounce, Poll time.Duration
	// Restart is the backoff before a flow that stopped by itself is started again; default 1s,
	// doubling to 1m.
	Restart backoff.Policy
	// Grace is added to the drain timeout of a flow. A pipeline, or a swap, that takes longer is
	// abandoned as stuck; default 10s.
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
