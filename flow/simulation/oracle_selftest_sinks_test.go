//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// newExampleOfSinks returns an example of a flow with two sinks: mainSink gets all events, copySink those
// with an even number.
func newExampleOfSinks() *example {
	return newExampleOf(&plan{sinks: &sinksPlan{deadLetterTopic: "copies"}, file: settings{hasCopySink: true}})
}

// deliveryTo returns the index of a delivery of an event to a sink.
func (s *example) deliveryTo(sink string, n, piece int) int {
	return s.index(delivered, func(e entry) bool { return e.n == n && e.sink == sink && e.piece == piece })
}

// removeDelivery removes a delivery from the history.
func (s *example) removeDelivery(sink string, n, piece int) {
	s.entries[s.deliveryTo(sink, n, piece)].kind = note
}

// insert inserts an entry before index i, at the same time.
func (s *example) insert(i int, e entry) {
	e.at = s.entries[i].at
	s.entries = slices.Insert(s.entries, i, e)
}

// swap exchanges two entries.
func (s *example) swap(i, j int) {
	a, b := &s.entries[i], &s.entries[j]
	*a, *b = *b, *a
	a.at, b.at = b.at, a.at
}

// deliverAgain adds another delivery of an event.
func (s *example) deliverAgain(member, sink string, n int) {
	e := s.entries[s.deliveryTo(sink, n, 0)]
	e.member = member
	s.add(e)
}

// insertFlowFile inserts a flow file of a member at index i.
func (s *example) insertFlowFile(i int, member string, version int, without bool) {
	s.insert(i, entry{kind: flowFileWritten, member: member, n: version, lacksCopySink: without})
}

// changeOwner adds a change of owner of partition 0 at the end.
func (s *example) changeOwner() { s.add(entry{kind: ownerChanged, member: "B.1-id"}) }

// addReplay puts a dead letter of copySink, for event 0, back at 0/5.
func (s *example) addReplay() {
	of := s.sim.events[0]
	s.sim.events = append(s.sim.events, &event{n: len(s.sim.events), key: "k", replayOf: of, rawValue: of.value(),
		expected: []*expectedDelivery{{sink: copySink}}})
	s.add(entry{kind: produced, n: len(s.sim.events) - 1, offset: 5})
	s.add(entry{kind: delivered, member: "A.1", sink: copySink, text: "200 orders-0-5 v1000000"})
}

// addOutage sends an event at 0/5 while mainSink is down.
func (s *example) addOutage() {
	e := &event{n: 16, sinkDown: mainSink, deliverable: true}
	s.sim.plan.setExpected(e)
	for len(s.sim.events) < 16 {
		s.sim.events = append(s.sim.events, &event{n: len(s.sim.events)})
	}
	s.sim.events = append(s.sim.events, e)
	s.add(entry{kind: sinkDown, sink: mainSink})
	s.add(entry{kind: produced, n: 16, offset: 5})
	s.add(entry{kind: delivered, member: "A.1", n: 16, sink: copySink, text: "200 orders-0-5 v1000000"})
	s.add(entry{kind: sinkUp, sink: mainSink})
	s.add(entry{kind: delivered, member: "A.1", n: 16, sink: mainSink, text: "200 orders-0-5 v1000000"})
}

// firstCommitRequest returns the index of the first commit request of partition 0.
func (s *example) firstCommitRequest() int {
	return s.index(commitRequested, func(e entry) bool { return e.part == 0 })
}

// addDeadLetter makes event 2 a dead letter of copySink.
func (s *example) addDeadLetter() *deadLetter {
	s.sim.events[2].expectedFor(copySink, 0).kind = poison
	i := s.deliveryTo(copySink, 2, 0)
	s.entries[i] = entry{kind: deadLettered, at: s.entries[i].at, offset: 2, sink: copySink}
	s.sim.deadLetters = []deadLetter{{topic: "copies", offset: 2, sink: copySink, code: "SINK_REJECTED", key: "k", value: string(s.sim.events[2].value())}}
	return &s.sim.deadLetters[0]
}

func TestOracle_reportsBrokenRulesOfSeveralSinks(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*example)
		wants  string
	}{
		"lost for one sink": {func(s *example) { s.removeDelivery(copySink, 2, 0) }, "LOST: 0/2 to copy"},
		"a commit before the second sink is done": {func(s *example) {
			s.insert(s.deliveryTo(copySink, 2, 0), entry{kind: commitRequested, offset: 3})
		}, "0/3 was committed before all below it was settled"},
		"out of order at one sink": {func(s *example) { s.swap(s.deliveryTo(copySink, 0, 0), s.deliveryTo(copySink, 2, 0)) },
			"0/2 to copy was delivered before 0/0 to copy"},
		"delivered to a sink that does not take it": {func(s *example) {
			s.add(entry{kind: delivered, member: "A.1", n: 1, sink: copySink, text: "200 orders-0-1 v1000000"})
		}, "0/1 (event 1) was sent to copy, which it is not for"},
		"refused by a sink that does not take it": {func(s *example) {
			s.add(entry{kind: refused, member: "A.1", n: 1, sink: copySink, text: "503 orders-0-1 v1000000"})
		}, "0/1 (event 1) was sent to copy, which it is not for"},
		"no delivery to one sink after the last fault": {func(s *example) { s.removeDelivery(copySink, 14, 0) },
			"5/1 to copy, sent after the last fault, was not delivered"},
		"the dead letter names another sink": {func(s *example) { s.addDeadLetter().sink = mainSink }, "LOST: 0/2 to copy"},
		"the dead letter names no sink":      {func(s *example) { s.addDeadLetter().sink = "" }, `0/2, piece 0, for the sink "", which it is not for`},
		"the dead letter is in the topic of the other sink": {func(s *example) { s.addDeadLetter().topic = deadLetterTopic },
			"the dead letter of 0/2 to copy is in the topic " + deadLetterTopic},
		"the dead letter of a malformed record names a sink": {func(s *example) {
			s.setKind(0, malformed)
			s.sim.deadLetters = []deadLetter{{topic: deadLetterTopic, sink: mainSink, code: "DECODE_FAILED", key: "k", value: string(s.sim.events[0].value())}}
		}, `the dead letter of 0/0 (malformed) names the sink "main"`},
		"a poison event is delivered": {func(s *example) { s.sim.events[2].expectedFor(copySink, 0).kind = poison }, "0/2 to copy (poison) was delivered"},
		"a replay that reaches the other sink": {func(s *example) {
			s.addReplay()
			s.add(entry{kind: delivered, member: "A.1", sink: mainSink, text: "200 orders-0-5 v1000000"})
		}, "0/5 (event 0) was sent to main, which it is not for"},
		"a replay that does not reach its sink": {func(s *example) {
			s.addReplay()
			s.entries[len(s.entries)-1].kind = note
			s.add(entry{kind: committed, offset: 6})
		}, "LOST: 0/5 to copy"},
		"settled twice, though all sinks were done": {func(s *example) {
			s.changeOwner()
			s.deliverAgain("B.1", copySink, 2)
		}, "0/2 to copy (event 2, good) was settled by A.1"},
		"settled twice, while another sink was not done and the partition stayed": {func(s *example) {
			s.removeDelivery(copySink, 2, 0)
			s.deliverAgain("A.1", mainSink, 2)
		}, "0/2 (event 2, good) was settled by A.1"},
		"sent by a flow file without the sink": {func(s *example) { s.insertFlowFile(0, "A.1", lastVersion, true) },
			"event 0 was sent to copy by A.1 v1000000, whose file is without it"},
		"lost, while another member's flow file was without the sink": {func(s *example) {
			s.insertFlowFile(0, "B.1", 7, true)
			s.removeDelivery(copySink, 2, 0)
		}, "LOST: 0/2 to copy"},
		"lost, and a flow file without the sink came after the commit": {func(s *example) {
			s.removeDelivery(copySink, 2, 0)
			s.insertFlowFile(s.firstCommitRequest()+1, "A.1", 7, true)
			s.entries[s.firstCommitRequest()+1].at++
		}, "LOST: 0/2 to copy"},
		"lost, long after a flow file without the sink": {func(s *example) {
			s.removeDelivery(copySink, 2, 0)
			for i := range s.entries {
				s.entries[i].at += 2 * maxStop
			}
			s.entries = slices.Insert(s.entries, 0, entry{kind: flowFileWritten, member: "A.1", n: 7, lacksCopySink: true}, entry{kind: flowFileWritten,
				member: "A.1", n: 8})
		}, "LOST: 0/2 to copy"},
		"a sink that is down stops the other": {func(s *example) {
			s.addOutage()
			i, j := s.deliveryTo(copySink, 16, 0), s.index(sinkUp, func(entry) bool { return true })
			s.swap(i, j)
		}, "0/5 to copy was not delivered while main was down"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExampleOfSinks()
			tc.change(s)
			if violations := judge(s.sim, s.entries); !slices.ContainsFunc(violations, func(b string) bool { return strings.Contains(b, tc.wants) }) {
				t.Errorf("violations %q, want %q", violations, tc.wants)
			}
		})
	}
}

func TestOracle_acceptsWhatFaultsExplainWithSeveralSinks(t *testing.T) {
	for name, change := range map[string]func(*example){
		"no fault": func(*example) {},
		"handed back, because another sink was not done": func(s *example) {
			i := s.deliveryTo(copySink, 2, 0)
			late := s.entries[i]
			s.entries[i].kind = note
			s.changeOwner()
			s.deliverAgain("B.1", mainSink, 2)
			late.member = "B.1"
			s.insert(s.firstCommitRequest(), late)
		},
		"handed back, because the answer of another sink was lost": func(s *example) {
			s.insert(s.deliveryTo(copySink, 2, 0)+1, entry{kind: answerLost, member: "A.1", n: 2, sink: copySink, text: "orders-0-2"})
			s.changeOwner()
			s.deliverAgain("B.1", mainSink, 2)
			s.deliverAgain("B.1", copySink, 2)
		},
		"a flow file without the sink": func(s *example) {
			s.insertFlowFile(0, "A.1", 7, true)
			s.removeDelivery(copySink, 2, 0)
		},
		"a flow file without the sink, written while the event was held": func(s *example) {
			s.removeDelivery(copySink, 2, 0)
			s.insertFlowFile(s.firstCommitRequest(), "A.1", 7, true)
		},
		"a dead letter of one sink": func(s *example) { s.addDeadLetter() },
		"a replay of one sink":      func(s *example) { s.addReplay() },
		"a sink that is down":       func(s *example) { s.addOutage() },
		"a sink that is down while the partition changes its owner": func(s *example) {
			s.addOutage()
			i, j := s.deliveryTo(copySink, 16, 0), s.index(sinkUp, func(entry) bool { return true })
			s.swap(i, j)
			s.insert(i, entry{kind: ownerChanged, member: "B.1-id"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExampleOfSinks()
			change(s)
			if violations := judge(s.sim, s.entries); len(violations) > 0 {
				t.Errorf("violations %q", violations)
			}
		})
	}
}

func TestOracle_reportsBrokenRulesOfSplitRecords(t *testing.T) {
	splitEvent := func(s *example) *event {
		i := slices.IndexFunc(s.sim.events[:3], func(e *event) bool { return e.pieces > 1 })
		return s.sim.events[i]
	}
	for name, tc := range map[string]struct {
		change func(*example, *event)
		wants  string // %d: number of the event
	}{
		"a piece is lost": {func(s *example, e *event) { s.removeDelivery(mainSink, e.n, 1) }, "LOST: 0/%d#1"},
		"a commit before the last piece": {func(s *example, e *event) {
			s.insert(s.deliveryTo(mainSink, e.n, e.pieces-1), entry{kind: commitRequested, offset: int64(e.n + 1)})
		}, "was committed before all below it was settled"},
		"pieces out of order": {func(s *example, e *event) { s.swap(s.deliveryTo(mainSink, e.n, 0), s.deliveryTo(mainSink, e.n, 1)) },
			"0/%[1]d#1 was delivered before 0/%[1]d#0"},
		"a piece with the id of another": {func(s *example, e *event) {
			d := &s.entries[s.deliveryTo(mainSink, e.n, 1)]
			d.text = strings.Replace(d.text, "#1", "#0", 1)
		}, `was sent as "200 orders-0-%d#0`},
		"a piece that does not exist": {func(s *example, e *event) {
			s.add(entry{kind: delivered, member: "A.1", n: e.n, sink: mainSink, piece: 7, text: fmt.Sprintf("200 orders-0-%d#7 v1000000", e.n)})
		}, "0/%d (event %[1]d) was sent to main, which it is not for"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExampleOf(&plan{split: true, seed: 2})
			e := splitEvent(s)
			if violations := judge(s.sim, s.entries); len(violations) > 0 {
				t.Fatalf("the unchanged history breaks %q", violations)
			}
			tc.change(s, e)
			want := tc.wants
			if strings.Contains(want, "%") {
				want = fmt.Sprintf(want, e.n)
			}
			if violations := judge(s.sim, s.entries); !slices.ContainsFunc(violations, func(b string) bool { return strings.Contains(b, want) }) {
				t.Errorf("violations %q, want %q", violations, want)
			}
		})
	}
}
