package delivery

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/connector"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run the model with this seed only, and print its history")
	seeds   = flag.Uint64("seeds", 0, "how many seeds the models are run with; 0: 300, or with -short 30")
)

func modelSeeds() uint64 {
	switch {
	case *seeds > 0:
		return *seeds
	case testing.Short():
		return 30
	default:
		return 300
	}
}

const (
	simDrain   = 2 * time.Second
	simRetries = 2
)

// TestModel runs an engine between a simulated source, sink and dead letter
// queue with random faults, assignments and reloads, and checks the promises of the
// package comment on the history. Hazards F1, F2, F3, F5, F9, F12 and F13 can each
// break a rule here. Their sources:
// https://github.com/redpanda-data/connect/issues/4009,
// https://github.com/dapr/components-contrib/issues/3849,
// https://github.com/knative/eventing-contrib/issues/596,
// https://github.com/confluentinc/parallel-consumer/issues/857,
// https://github.com/confluentinc/kafka-connect-jdbc/issues/1597,
// https://github.com/redpanda-data/connect/issues/4400,
// https://github.com/vectordotdev/vector/issues/24125.
func TestModel_losesNothingAndKeepsOrder(t *testing.T) {
	if *oneSeed != 0 {
		model(t, *oneSeed)
		return
	}
	for seed := range modelSeeds() {
		if !t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) { model(t, seed+1) }) {
			return // one history is enough to read
		}
	}
}

func model(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed)
		w.scenario(t)
		for _, r := range w.records {
			w.account(r)
		}
		for _, p := range w.parts {
			w.rule(p.committed == int64(len(p.log)), "partition %d is committed up to %d of %d", p.n, p.committed, len(p.log))
		}
		if len(w.broken) > 0 || (*oneSeed != 0 && testing.Verbose()) {
			t.Logf("history of seed %d:\n%s", seed, strings.Join(w.history, "\n"))
		}
		for _, b := range w.broken {
			t.Error(b)
		}
		if t.Failed() {
			t.Logf("run it again: go test . -run TestModel -v -seed=%d", seed)
		}
	})
}

// account checks one settled record: it was filtered, delivered or stored as a dead
// letter.
func (w *world) account(r *record) {
	w.rule(r.done && !r.open, "%s was never settled with nil", r.id)
	switch {
	case r.filtered:
		w.rule(r.tries == 0 && r.buried == 0, "%s was filtered, and sent or buried", r.id)
	case r.malformed:
		w.rule(r.tries == 0 && r.buried > 0, "%s is malformed, sent %d times, buried %d times", r.id, r.tries, r.buried)
	case r.poison:
		w.rule(r.delivered == 0 && r.buried > 0, "%s is poison, delivered %d times, buried %d times", r.id, r.delivered, r.buried)
	default:
		w.rule(r.delivered+r.buried > 0, "%s is lost", r.id)
	}
	// A delivery beyond the first needs another hand-over, or a call that was cut short.
	w.rule(r.delivered <= r.handed, "%s was handed over %d times and delivered %d times", r.id, r.handed, r.delivered)
}

// scenario runs the engine with faults, ends them all, and waits until every record is settled.
func (w *world) scenario(t *testing.T) {
	cfg := Config{
		Name: "model", Ordering: []string{OrderKey, OrderKey, OrderPartition, OrderNone}[w.IntN(4)],
		MaxInFlight: []int{1, 2, 5, 16, 64, 200}[w.IntN(6)], DrainTimeout: simDrain,
	}
	if w.chance(0.2) {
		cfg.MaxInFlightBytes = 1 + w.Int64N(200)
	}
	w.most = cfg.MaxInFlight
	w.order = cfg.Ordering
	w.slow = []float64{0, 0, 0.001, 0.02, 0.5}[w.IntN(5)]
	w.say("%+v", cfg)
	e := newEngine(cfg, w.version())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	var src connector.Source = w
	if w.chance(0.7) {
		src = batchWorld{w}
	}
	go func() { done <- e.Run(ctx, src) }()
	synctest.Wait() // it draws from the scenario's dice once

	for range w.IntN(25) {
		pass(w.within(400 * time.Millisecond))
		w.disturb(e)
	}
	w.heal(e)
	w.settleDown(e)
	synctest.Wait()
	w.mu.Lock()
	s := e.Status()
	w.rule(s.InFlight == 0 && s.Bytes == 0 && s.Working == 0 && s.Waiting == 0 && len(s.Held) == 0 && lineOf(s) == "" && s.Oldest == 0,
		"not at rest after all was settled: %+v", s)
	w.stopped = true
	w.mu.Unlock()
	stop()
	if err := <-done; err != nil {
		w.rule(false, "Run: %v", err)
	}
}

// say is note for the scenario, which does not hold the lock.
func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

func (w *world) version() *testVersion {
	st := &testVersion{
		Transformer: w, Sink: w, SinkName: "sim", DeadLetter: simLetters{w}, MaxRetries: simRetries,
		Retry: backoff.Policy{Initial: 20 * time.Millisecond, Max: time.Second, Jitter: 0.2},
	}
	if w.chance(0.3) {
		st.StopTheLine = 1 + w.IntN(4)
	}
	if w.chance(0.2) {
		st.OnExhausted = ExhaustedBlock
	}
	if w.chance(0.4) {
		st.Batch = &Batch{MaxEvents: 1 + w.IntN(10), MaxBytes: 1 + w.Int64N(100), MaxWait: w.within(100 * time.Millisecond)}
	}
	w.say("version: stop the line %d, on exhausted %q, batch %+v", st.StopTheLine, st.OnExhausted, st.Batch)
	return st
}

// disturb injects one fault, revocation or reload.
func (w *world) disturb(e *Engine) {
	switch n := w.IntN(7); n {
	case 0, 1:
		w.revoke(w.parts[w.IntN(len(w.parts))])
	case 2, 3:
		w.swap(e, w.version())
	case 4:
		w.mu.Lock()
		w.refusesLetters = !w.refusesLetters
		w.note("dead letter queue refuses: %t", w.refusesLetters)
		w.mu.Unlock()
	case 5:
		w.mu.Lock()
		err := []error{
			connector.AsUnavailable(errors.New("connection refused"), 0),
			connector.AsPermanent(errors.New("401")),
			errors.New("timeout"),
		}[w.IntN(3)]
		w.refuses = w.refuses || connector.ClassOf(err) == connector.Permanent
		w.outage = func() error { return err }
		w.note("outage: %v", err)
		w.mu.Unlock()
	case 6:
		w.mu.Lock()
		w.outage = nil
		w.note("no outage")
		w.mu.Unlock()
	}
}

func (w *world) swap(e *Engine, st *testVersion) {
	began := time.Now()
	unused := e.Swap(context.Background(), st.version())
	w.mu.Lock()
	defer w.mu.Unlock()
	took := time.Since(began)
	w.note("swapped in %s", took)
	w.rule(unused && took <= simDrain, "Swap took %s, the old version is unused: %v", took, unused)
}

// heal ends all faults. The last version neither blocks nor stops the line: poison
// would then be held forever, as configured.
func (w *world) heal(e *Engine) {
	w.mu.Lock()
	w.healed, w.outage, w.refusesLetters = true, nil, false
	w.note("healed")
	w.mu.Unlock()
	st := w.version()
	st.OnExhausted, st.StopTheLine = "", 0
	w.swap(e, st)
}

// settleDown waits until every record is committed, and reports a broken rule if that
// takes too long.
func (w *world) settleDown(e *Engine) {
	for range 600 {
		pass(time.Second)
		w.mu.Lock()
		left := 0
		for _, p := range w.parts {
			left += len(p.log) - int(p.committed)
		}
		w.mu.Unlock()
		if left == 0 {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rule(false, "no progress after the last fault: %+v", e.Status())
}
