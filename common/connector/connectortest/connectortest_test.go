package connectortest_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything is the features of the connectors in memory.
var everything = connectortest.Features{
	Guarantees: connector.Guarantees{Orders: true, Redelivers: true},
	Keys:       true, Partitions: true, Concurrent: true, Answers: true, Reports: true,
	Batch: true, Temporary: true, Permanent: true, Unavailable: true, Blocked: true, RetryAfter: true, Reconnects: true,
}

// timing is short for a connector that must fail, and long for one that must pass
// on a busy machine.
func timing(fault string) connectortest.Timing {
	if fault == "" {
		return connectortest.Timing{Timeout: 20 * time.Second, Window: 20 * time.Millisecond}
	}
	return connectortest.Timing{Timeout: 500 * time.Millisecond, Window: 20 * time.Millisecond}
}

func source(fault string) connectortest.NewSource {
	return func(t testing.TB) connectortest.SourceHarness { return newPlace(t, fault).harness() }
}

func sink(fault string) connectortest.NewSink {
	return func(t testing.TB) connectortest.SinkHarness { return newShelf(t, fault).harness() }
}

func TestRunSource_passesASourceThatKeepsTheContract(t *testing.T) {
	connectortest.RunSource(t, everything, source(""))
}

func TestRunSource_asksNothingThatIsNotPromised(t *testing.T) {
	modest := connectortest.Features{}
	for _, s := range connectortest.SourceScenarios(modest) {
		if s.Name == "declares what it guarantees" {
			continue // the source in memory declares more
		}
		// The contract allows a source without order and redelivery.
		for _, fault := range []string{"", "never commits", "loses what was refused", "loses the key", "does not say where a message stood", "reports nothing"} {
			failures := record(t, func(t testing.TB) {
				s.Run(t, modest, func(t testing.TB) connectortest.SourceHarness {
					h := newPlace(t, fault).harness()
					h.Timing, h.Committed, h.Taken, h.Answer, h.Disconnect = timing(""), nil, nil, nil, nil
					return h
				})
			})
			if len(failures) > 0 {
				t.Errorf("%s, %q: %q", s.Name, fault, failures)
			}
		}
	}
}

func TestRunSink_passesASinkThatKeepsTheContract(t *testing.T) {
	connectortest.RunSink(t, everything, sink(""))
}

func TestRunSink_asksNothingThatIsNotPromised(t *testing.T) {
	modest := connectortest.Features{}
	for _, s := range connectortest.SinkScenarios(modest) {
		failures := record(t, func(t testing.TB) {
			s.Run(t, modest, func(t testing.TB) connectortest.SinkHarness {
				d := newShelf(t, "")
				full := d.harness()
				return connectortest.SinkHarness{
					Timing: full.Timing, Received: full.Received,
					New: func(testing.TB) connector.Sink { return single{&memSink{d: d}} },
				}
			})
		})
		if len(failures) > 0 {
			t.Errorf("%s: %q", s.Name, failures)
		}
	}
}

// A suite is only as good as the faults it finds: each source here has one fault.
func TestRunSource_failsASourceThatBreaksTheContract(t *testing.T) {
	for _, tc := range []struct {
		fault, want string
		scenario    func(testing.TB, connectortest.Features, connectortest.NewSource)
	}{
		{"hands over out of order", "was handed over before", connectortest.SourceHandsOver},
		{"hands over side by side", "times at once", connectortest.SourceIsHeldBack},
		{"hands over twice", "was handed over twice", connectortest.SourceHandsOver},
		{"loses the key", "want \"a\"", connectortest.SourceHandsOver},
		{"does not say where a message stood", "has no position", connectortest.SourceHandsOver},
		{"counts offsets backwards", "after offset", connectortest.SourceHandsOver},
		{"makes messages up", "not handed over within", connectortest.SourceHandsOver},
		{"uses its buffers again", "changed after it was handed over", connectortest.SourceHandsOver},
		{"hands over with an ended context", "with a context that has ended", connectortest.SourceHandsOver},
		{"never commits", "everything settled is committed", connectortest.SourceHandsOver},
		{"gives up at once", "Run returned by itself: cannot read", connectortest.SourceHandsOver},
		{"forgets its commits", "are handed over again", connectortest.SourceSettlesInAnyOrder},
		{"forgets its commits", "want the second half alone", connectortest.SourceGoesOn},
		{"settles by itself", "was settled by the source", connectortest.SourceSettlesInAnyOrder},
		{"settles by itself", "unsettled until the handler settles it", connectortest.SourceLeavesSettlingToTheHandler},
		{"loses what was refused", "not handed over within", connectortest.SourceLeavesSettlingToTheHandler},
		{"loses what was refused", "not handed over within", connectortest.SourceBringsBackRefused},
		{"commits over a hole", "committed past an unsettled message", connectortest.SourceHoldsAtUnsettled},
		{"commits over a hole", "not handed over within", connectortest.SourceBringsBackRefused},
		{"commits everything when it stops", "not handed over within", connectortest.SourceStopsWithUnsettled},
		{"commits everything when it stops", "not handed over within", connectortest.SourceHoldsAtUnsettled},
		{"runs on after it was stopped", "its context having ended before", connectortest.SourceStopsAtOnce},
		{"gives up at once", "an error, not nil: cannot read", connectortest.SourceStopsAtOnce},
		{"ends with an error", "an error after its context ended, not nil: context canceled", connectortest.SourceGoesOn},
		{"ignores its context", "the context of a message ends", connectortest.SourceEndsContexts},
		{"waits for ever", "Run returns after its context ended", connectortest.SourceStopsWithoutSettle},
		{"counts late results", "not handed over within", connectortest.SourceStopsWithoutSettle},
		{"reads without bound", "holds the source back", connectortest.SourceIsHeldBack},
		{"serves one partition at a time", "messages of another partition", connectortest.SourceServesSideBySide},
		{"answers before it is settled", "nobody is answered before", connectortest.SourceAnswers},
		{"answers done to everything", "was told done = true", connectortest.SourceAnswers},
		{"never answers", "is answered", connectortest.SourceAnswers},
		{"reports nothing", "Status counts", connectortest.SourceReports},
		{"reports a problem it has not", "Status has no problem", connectortest.SourceReports},
		{"skips what came while it was away", "not handed over within", connectortest.SourceReconnects},
		{"hands over nothing", "without a message", connectortest.SourceHandsOver},
		{"turns a call around", "in one call", connectortest.SourceHandsOver},
		{"mixes partitions in a call", "of different partitions", connectortest.SourceHandsOver},
		{"declares what it does not keep", "Transacts:true", connectortest.SourceDeclares},
		{"makes an assignment a message", "messages of 4 keys came in 40 assignments", connectortest.SourceMakesFewAssignments},
		{"makes two assignments a partition", "in several assignments at once", connectortest.SourceMakesFewAssignments},
		{"leaks a goroutine", "goroutines are left behind", connectortest.SourceStopsWithUnsettled},
	} {
		t.Run(tc.fault+", "+tc.want, func(t *testing.T) {
			var p *place
			failures := record(t, func(t testing.TB) {
				tc.scenario(t, everything, func(t testing.TB) connectortest.SourceHarness {
					p = newPlace(t, tc.fault)
					return p.harness()
				})
			})
			failsWith(t, failures, tc.want)
			if tc.fault == "leaks a goroutine" {
				close(p.end)
			}
		})
	}
}

func TestRunSource_failsASourceThatIsNoReporter(t *testing.T) {
	failures := record(t, func(t testing.TB) {
		connectortest.SourceReports(t, everything, func(t testing.TB) connectortest.SourceHarness {
			p := newPlace(t, "")
			h := p.harness()
			h.New = func(testing.TB) connector.Source { return mute{newMemSource(p)} }
			return h
		})
	})
	failsWith(t, failures, "mute is no connector.Reporter")
}

func TestRunSource_saysThatRunDoesNotReturn(t *testing.T) {
	// The scenario fails before it stops the source, which then never returns.
	failures := record(t, func(t testing.TB) {
		f := everything
		connectortest.SourceLeavesSettlingToTheHandler(t, f, func(t testing.TB) connectortest.SourceHarness {
			p := newPlace(t, "waits for ever")
			h := p.harness()
			h.Produce = func(t testing.TB, in ...connectortest.Input) { p.produce(t, in[:1]...) }
			return h
		})
	})
	failsWith(t, failures, "Run has not returned")
}

// Each sink here has one fault.
func TestRunSink_failsASinkThatBreaksTheContract(t *testing.T) {
	for _, tc := range []struct {
		fault, want string
		scenario    func(testing.TB, connectortest.Features, connectortest.NewSink)
	}{
		{"fails always", "a good event to a good destination", connectortest.SinkDelivers},
		{"loses extensions", "arrived changed", connectortest.SinkDelivers},
		{"changes the time", "arrived changed: time is", connectortest.SinkDelivers},
		{"changes the data", "arrived changed: data is", connectortest.SinkDelivers},
		{"changes the event", "Send changed event", connectortest.SinkDelivers},
		{"delivers twice", "arrived twice", connectortest.SinkDelivers},
		{"makes events up", "which was not delivered", connectortest.SinkDelivers},
		{"loses one in ten", "did not arrive", connectortest.SinkDeliversConcurrently},
		{"fails always", "Send of event", connectortest.SinkDeliversConcurrently},
		{"keeps the data", "arrived changed: data is", connectortest.SinkCopiesEvents},
		{"believes data", `event "alone" arrived changed`, connectortest.SinkKeepsDataApart},
		{"tries what is not JSON again", "want a permanent *cloudevent.EncodeError", connectortest.SinkKeepsDataApart},
		{"retries by itself", "did the sink retry by itself?", connectortest.SinkClassifies},
		{"marks permanent as temporary", "is temporary, want permanent", connectortest.SinkClassifies},
		{"asks for a delay by itself", "asks for a delay of 1s", connectortest.SinkClassifies},
		{"forgets the delay", "asks for 0s, want 7s", connectortest.SinkPassesDelayOn},
		{"takes an interruption for a failure", "want an interruption", connectortest.SinkStopsWithContext},
		{"ignores the context", "Send returns when its context ends", connectortest.SinkStopsWithContext},
		{"returns before it is delivered", "is under way", connectortest.SinkStopsWithContext},
		{"works after Close", "want connector.ErrClosed", connectortest.SinkCloses},
		{"hides that it is closed", "want connector.ErrClosed", connectortest.SinkCloses},
		{"fails the second Close", "Close a second time: closed", connectortest.SinkCloses},
		{"does not wait when it closes", "Close waits for a call under way", connectortest.SinkWaitsForCalls},
		{"waits for ever", "Close returns when its context ends", connectortest.SinkWaitsForCalls},
		{"returns one result for all", "results for", connectortest.SinkDeliversBatches},
		{"fails always", "of a batch of", connectortest.SinkDeliversBatches},
		{"fails a batch as a whole", "failed with its neighbour", connectortest.SinkTellsBatchApart},
		{"forgets the results", "counts as delivered", connectortest.SinkTellsBatchApart},
		{"marks the refused as temporary", "want permanent", connectortest.SinkTellsBatchApart},
		{"stays broken", "after the connections broke", connectortest.SinkReconnects},
	} {
		t.Run(tc.fault+", "+tc.want, func(t *testing.T) {
			failures := record(t, func(t testing.TB) { tc.scenario(t, everything, sink(tc.fault)) })
			failsWith(t, failures, tc.want)
		})
	}
}

func TestRunSink_failsASinkThatTakesNoBatches(t *testing.T) {
	failures := record(t, func(t testing.TB) {
		connectortest.SinkDeliversBatches(t, everything, func(t testing.TB) connectortest.SinkHarness {
			d := newShelf(t, "")
			h := d.harness()
			h.New = func(testing.TB) connector.Sink { return single{&memSink{d: d}} }
			return h
		})
	})
	failsWith(t, failures, "is no connector.BatchSink")
}
