package delivery

import (
	"context"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/concurrency"
)

// minWorkers is how many workers a step may have whatever it gains by them.
const minWorkers = 16

// version is a Version in use. Nothing in it changes but what counts its use,
// and the state of its steps, with the engine's lock held.
type version struct {
	transformer   Transformer
	transform     step
	outputs       []step
	transformTime meanDuration  // of the transformer
	users         int           // intakes, and tasks in workers' hands or in batches
	retired       chan struct{} // made when the version is replaced, closed when users is 0
}

// step is where tasks are worked on: the transformer of a version, or an output.
// It is guarded by the engine's lock.
type step struct {
	Handling
	version *version
	number  int     // 0: the transform
	out     *Output // nil: the transform

	ready       queue
	gate        gate
	gated       []*lane
	working     int // tasks in workers' hands or in batches
	calls       int // workers at work here
	concurrency *concurrency.Limit
	most        int // of working and kept
	// kept counts deliveries that keep their place although no worker has them,
	// see keepPlace; closing are their lanes in the order they became ready.
	kept    int
	closing queue

	batches    connector.BatchSink // nil: one by one
	batch      *Batch              // set with batches
	collecting *batch
	sealed     []*batch // full, for the next worker
}

func newVersion(cfg Config, v *Version, old *version) *version {
	n := &version{transformer: v.Transformer, outputs: make([]step, len(v.Outputs))}
	n.transform = step{Handling: v.Handling, version: n, concurrency: concurrency.New(minWorkers, cfg.MaxInFlight), most: cfg.MaxInFlight}
	for i := range v.Outputs {
		out := v.Outputs[i]
		s := &n.outputs[i]
		*s = step{Handling: out.Handling, version: n, number: i + 1, out: &out, most: cfg.MaxInFlight, gate: gate{stopAfter: out.StopTheLine, countOutages: out.CountOutages}}
		if out.MaxInFlight > 0 {
			s.most = min(out.MaxInFlight, cfg.MaxInFlight)
		}
		if many, ok := out.Sink.(connector.BatchSink); ok && out.Batch != nil {
			s.batches, s.batch = many, out.Batch.WithDefaults(s.most)
		}
		if s.concurrency = old.limitOf(out.Name, s.most); s.concurrency == nil {
			s.concurrency = concurrency.New(minWorkers, s.most)
		}
	}
	return n
}

// limitOf is what was learned about the output of that name, by the same bound;
// nil: nothing.
func (v *version) limitOf(name string, most int) *concurrency.Limit {
	if v == nil {
		return nil
	}
	for i := range v.outputs {
		if v.outputs[i].out.Name == name && v.outputs[i].most == most {
			return v.outputs[i].concurrency
		}
	}
	return nil
}

// steps calls do for each step.
func (v *version) steps(do func(*step)) {
	do(&v.transform)
	for i := range v.outputs {
		do(&v.outputs[i])
	}
}

// use and release count what is being worked on by the version.
func (v *version) use(n int) { v.users += n }

func (v *version) release(n int) {
	if v.users -= n; v.users == 0 && v.retired != nil {
		close(v.retired)
	}
}

// beginCall and endCall count the calls of workers.
func (s *step) beginCall() concurrency.Round {
	s.calls++
	return s.concurrency.Begin()
}

func (s *step) endCall(r concurrency.Round, events int) {
	s.calls--
	s.concurrency.End(r, events)
}

// name is the output's, or "" for the transform.
func (s *step) name() string {
	if s.out == nil {
		return ""
	}
	return s.out.Name
}

// label is the name of the step's output, where there are others to tell it from.
func (s *step) label() string {
	if len(s.version.outputs) < 2 {
		return ""
	}
	return s.name()
}

// handling is what follows a failure of the task.
func (t *task) handling() *Handling {
	if t.err != nil {
		return &t.step.version.transform.Handling
	}
	return &t.step.Handling
}

// sink is the name of the output that failed; "" where the transform did.
func (t *task) sink() string {
	if t.err != nil {
		return ""
	}
	return t.step.name()
}

// fitsBatch reports whether all that a task lacks is a batch. Once its assignment is
// over it lacks an end: workers hand back what they find not begun, and what
// stands behind it in its lane must not be sent after all.
func (s *step) fitsBatch(t *task) bool {
	return s.batch != nil && t.letter == nil && t.err == nil && !t.receipt && !t.single && !t.entry.in.over()
}

// callContext is the context of calls on one version. It outlives the assignment
// by DrainTimeout, and the version's replacement too.
type callContext struct {
	version *version
	ctx     context.Context
	cancel  context.CancelFunc
}

// keepPlace counts a delivery among those under way although no worker has it:
// it was made, and what its destination answered is kept for the receipt. The
// answers that are kept are then as many as deliveries may be under way.
func (s *step) keepPlace(t *task) {
	if s.out != nil && s.out.Receipt != nil && t.err == nil && (t.letter != nil || t.receipt) {
		t.kept = true
		s.kept++
	}
}

// leavePlace takes that back.
func (s *step) leavePlace(t *task) {
	if t.kept {
		t.kept = false
		s.kept--
	}
}
