package connectortest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// SourceScenario is one behaviour that a source must show.
type SourceScenario struct {
	Name string
	Run  func(t testing.TB, f Features, n NewSource)
}

// SourceScenarios returns the scenarios that a source with these features must pass.
func SourceScenarios(f Features) []SourceScenario {
	var list []SourceScenario
	add := func(when bool, name string, run func(testing.TB, Features, NewSource)) {
		if when {
			list = append(list, SourceScenario{name, run})
		}
	}
	add(true, "declares what it guarantees", SourceDeclares)
	add(true, "hands over everything", SourceHandsOver)
	add(true, "makes few assignments", SourceMakesFewAssignments)
	add(true, "settles in any order", SourceSettlesInAnyOrder)
	add(true, "leaves settling to the handler", SourceLeavesSettlingToTheHandler)
	add(true, "stops at once", SourceStopsAtOnce)
	add(true, "ends contexts when it stops", SourceEndsContexts)
	add(true, "stops with unsettled messages", SourceStopsWithUnsettled)
	add(true, "gives up what is never settled", SourceStopsWithoutSettle)
	add(true, "is held back by the handler", SourceIsHeldBack)
	add(f.Concurrent, "serves partitions side by side", SourceServesSideBySide)
	add(f.Redelivers, "holds at an unsettled message", SourceHoldsAtUnsettled)
	add(f.Redelivers, "brings back a refused message", SourceBringsBackRefused)
	add(f.Redelivers, "goes on where it stopped", SourceGoesOn)
	add(f.Answers, "answers once settled", SourceAnswers)
	add(f.Reports, "reports how it stands", SourceReports)
	add(f.Reconnects, "reconnects", SourceReconnects)
	return list
}

// RunSource runs each scenario that f selects as a subtest.
func RunSource(t *testing.T, f Features, n NewSource) {
	t.Helper()
	for _, s := range SourceScenarios(f) {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, f, n) })
	}
}

// SinkScenario is one behaviour that a sink must show.
type SinkScenario struct {
	Name string
	Run  func(t testing.TB, f Features, n NewSink)
}

// SinkScenarios returns the scenarios that a sink with these features must pass.
func SinkScenarios(f Features) []SinkScenario {
	var list []SinkScenario
	add := func(when bool, name string, run func(testing.TB, Features, NewSink)) {
		if when {
			list = append(list, SinkScenario{name, run})
		}
	}
	add(true, "delivers events whole", SinkDelivers)
	add(true, "delivers concurrently", SinkDeliversConcurrently)
	add(true, "keeps nothing of an event", SinkCopiesEvents)
	add(true, "lets no data forge an event", SinkKeepsDataApart)
	add(true, "stops when the context ends", SinkStopsWithContext)
	add(true, "closes twice and for good", SinkCloses)
	add(true, "waits for calls when it closes", SinkWaitsForCalls)
	add(f.Temporary || f.Permanent || f.Unavailable || f.Blocked, "classifies errors", SinkClassifies)
	add(f.RetryAfter, "passes on the delay asked for", SinkPassesDelayOn)
	add(f.Batch, "delivers batches", SinkDeliversBatches)
	add(f.Batch && f.Permanent, "tells the events of a batch apart", SinkTellsBatchApart)
	add(f.Reconnects, "reconnects", SinkReconnects)
	return list
}

// RunSink runs each scenario that f selects as a subtest.
func RunSink(t *testing.T, f Features, n NewSink) {
	t.Helper()
	for _, s := range SinkScenarios(f) {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, f, n) })
	}
}

// env is the common part of source and sink scenarios.
type env struct {
	testing.TB
	timing Timing
}

// checkGoroutines fails t at its end if goroutines are left that were not there at
// the beginning. It is called before the harness is made, so that its check runs
// after the harness is cleaned up.
func checkGoroutines(t testing.TB) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := goleak.Find(before); err != nil {
			t.Errorf("goroutines are left behind: %v", err)
		}
	})
}

// until waits until something has happened, and fails the scenario at the timeout.
func (e *env) until(what string, happened func() bool) {
	e.Helper()
	if !e.wait(happened) {
		e.Fatalf("not within %v: %s", e.timing.Timeout, what)
	}
}

// wait reports whether something happens within the timeout.
func (e *env) wait(happened func() bool) bool {
	timeout := time.NewTimer(e.timing.Timeout)
	defer timeout.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-timeout.C:
			return false
		}
	}
	return true
}

// closed waits for a channel to be closed.
func (e *env) closed(what string, c <-chan struct{}) {
	e.Helper()
	timeout := time.NewTimer(e.timing.Timeout)
	defer timeout.Stop()
	select {
	case <-c:
	case <-timeout.C:
		e.Fatalf("not within %v: %s", e.timing.Timeout, what)
	}
}

// throughout fails the scenario unless a condition holds during the whole window.
func (e *env) throughout(what string, holds func() bool) {
	e.Helper()
	end := time.NewTimer(e.timing.Window)
	defer end.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if !holds() {
			e.Fatalf("did not stay true: %s", what)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}
