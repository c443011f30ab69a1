package delivery

import (
	"context"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/concurrency"
)

// minWorkers is how many workers a step may always have.
const minWorkers = 16

// version is a Version in use. It does not change, except for its counters and
// the state of its steps, which the engine's lock guards.
type version struct {
	transformer   Transformer
	transform     step
	outputs       []step
	transformTime meanDuration  // of the transformer
	users         int           // intakes, and tasks that workers have or that are in batches
	retired       chan struct{} // made when the version is replaced, closed when users is 0
}

// step is where tasks are worked on: the transformer of a version, or an
// output. The engine's lock guards it.
type step struct {
	Handling
	version *version
	number  int     // 0: the transform
	out     *Output // nil: the transform

	ready       queue
	gate        gate
	gated       []*lane
	working     int // tasks that workers have or that are in batches
	calls       int // workers busy at this step
	concurrency *concurrency.Limit
	callsBefore int // calls when the gate closed; 0: the limit was restarted since
	maxInFlight int // bounds working + kept
	// kept counts deliveries that keep their place while no worker has them,
	// see countKept. keptReady holds their lanes when they are ready.
	kept      int
	keptReady queue

	batches    connector.BatchSink // nil: one by one
	batch      *Batch              // set with batches
	collecting *batch
	sealed     []*batch // full, for the next worker
}

func newVersion(cfg Config, v *Version, old *version) *version {
	n := &version{transformer: v.Transformer, outputs: make([]step, len(v.Outputs))}
	n.transform = step{Handling: v.Handling, version: n, concurrency: concurrency.New(minWorkers, cfg.MaxInFlight), maxInFlight: cfg.MaxInFlight}
	for i := range v.Outputs {
		out := v.Outputs[i]
		s := &n.outputs[i]
		*s = step{Handling: out.Handling, version: n, number: i + 1, out: &out, maxInFlight: cfg.MaxInFlight, gate: gate{stopAfter: out.StopTheLine, countOutages: out.CountOutages}}
		if out.MaxInFlight > 0 {
			s.maxInFlight = min(out.MaxInFlight, cfg.MaxInFlight)
		}
		if many, ok := out.Sink.(connector.BatchSink); ok && out.Batch != nil {
			s.batches, s.batch = many, out.Batch.WithDefaults(s.maxInFlight)
		}
		if s.concurrency = old.limitOf(out.Name, s.maxInFlight); s.concurrency == nil {
			s.concurrency = concurrency.New(minWorkers, s.maxInFlight)
		}
	}
	return n
}

// limitOf returns the limit that the output of that name has learned with the
// same maxInFlight; nil: none.
func (v *version) limitOf(name string, maxInFlight int) *concurrency.Limit {
	if v == nil {
		return nil
	}
	for i := range v.outputs {
		if v.outputs[i].out.Name == name && v.outputs[i].maxInFlight == maxInFlight {
			return v.outputs[i].concurrency
		}
	}
	return nil
}

// steps calls do for the transform and for each output.
func (v *version) steps(do func(*step)) {
	do(&v.transform)
	for i := range v.outputs {
		do(&v.outputs[i])
	}
}

// use and release count the users of the version.
func (v *version) use(n int) { v.users += n }

func (v *version) release(n int) {
	if v.users -= n; v.users == 0 && v.retired != nil {
		close(v.retired)
	}
}

// name is the name of the output, or "" for the transform.
func (s *step) name() string {
	if s.out == nil {
		return ""
	}
	return s.out.Name
}

// label is the name of the output, or "" if the version has no other output.
func (s *step) label() string {
	if len(s.version.outputs) < 2 {
		return ""
	}
	return s.name()
}

// handling says what happens after a failure of the task.
func (t *task) handling() *Handling {
	if t.err != nil {
		return &t.step.version.transform.Handling
	}
	return &t.step.Handling
}

// sink is the name of the output that failed, or "" if the transform failed.
func (t *task) sink() string {
	if t.err != nil {
		return ""
	}
	return t.step.name()
}

// fitsBatch reports whether a task can join a batch. After the end of its
// assignment it cannot: workers hand back what was not begun, and the tasks
// behind it in its lane must not be sent before it.
func (s *step) fitsBatch(t *task) bool {
	return s.batch != nil && t.letter == nil && t.err == nil && !t.receipt && !t.single && !t.entry.in.over()
}

// callContext is the context of the calls of an assignment on one version. It
// ends DrainTimeout after the assignment ended or the version was replaced.
type callContext struct {
	version *version
	ctx     context.Context
	cancel  context.CancelFunc
}

// countKept counts a delivery as under way while no worker has it: the
// destination answered, and the answer is kept in memory for the receipt. This
// bounds the answers that are kept by maxInFlight.
func (s *step) countKept(t *task) {
	if s.out != nil && s.out.Receipt != nil && t.err == nil && (t.letter != nil || t.receipt) {
		t.kept = true
		s.kept++
	}
}

// uncountKept reverts countKept.
func (s *step) uncountKept(t *task) {
	if t.kept {
		t.kept = false
		s.kept--
	}
}
