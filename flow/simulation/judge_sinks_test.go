//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// severalStory returns a story of a flow with two sinks: mainSink gets all events, copySink those
// with an even number.
func severalStory() *story {
	return storyOf(&plan{sinks: &sinksPlan{letters: "copies"}, file: settings{copied: true}})
}

// to returns the index of a delivery of an event to a sink.
func (s *story) to(sink string, n, piece int) int {
	return s.where(delivered, func(e entry) bool { return e.n == n && e.sink == sink && e.piece == piece })
}

// forget removes a delivery from the history.
func (s *story) forget(sink string, n, piece int) { s.entries[s.to(sink, n, piece)].what = remark }

// put inserts an entry before index i, at the same time.
func (s *story) put(i int, e entry) {
	e.at = s.entries[i].at
	s.entries = slices.Insert(s.entries, i, e)
}

// swap exchanges two entries.
func (s *story) swap(i, j int) {
	a, b := &s.entries[i], &s.entries[j]
	*a, *b = *b, *a
	a.at, b.at = b.at, a.at
}

// once adds another delivery of an event.
func (s *story) once(who, sink string, n int) {
	e := s.entries[s.to(sink, n, 0)]
	e.who = who
	s.add(e)
}

// file inserts a flow file of a member at index i.
func (s *story) file(i int, who string, version int, without bool) {
	s.put(i, entry{what: filed, who: who, n: version, without: without})
}

// moves adds a change of owner of partition 0 at the end.
func (s *story) moves() { s.add(entry{what: owned, who: "B.1-id"}) }

// replayed puts a dead letter of copySink, for event 0, back at 0/5.
func (s *story) replayed() {
	of := s.w.events[0]
	s.w.events = append(s.w.events, &event{n: len(s.w.events), key: "k", again: of, raw: of.value(), units: []*unit{{sink: copySink}}})
	s.add(entry{what: produced, n: len(s.w.events) - 1, offset: 5})
	s.add(entry{what: delivered, who: "A.1", sink: copySink, text: "200 orders-0-5 v1000000"})
}

// hasAway sends an event at 0/5 while mainSink is down.
func (s *story) hasAway() {
	e := &event{n: 16, away: mainSink, good: true}
	s.w.plan.setUnits(e)
	for len(s.w.events) < 16 {
		s.w.events = append(s.w.events, &event{n: len(s.w.events)})
	}
	s.w.events = append(s.w.events, e)
	s.add(entry{what: away, sink: mainSink})
	s.add(entry{what: produced, n: 16, offset: 5})
	s.add(entry{what: delivered, who: "A.1", n: 16, sink: copySink, text: "200 orders-0-5 v1000000"})
	s.add(entry{what: back, sink: mainSink})
	s.add(entry{what: delivered, who: "A.1", n: 16, sink: mainSink, text: "200 orders-0-5 v1000000"})
}

// firstCommitOf returns the index of the first commit request of partition 0.
func (s *story) firstCommitOf() int {
	return s.where(asked, func(e entry) bool { return e.part == 0 })
}

// buried makes event 2 a dead letter of copySink.
func (s *story) buried() *stored {
	s.w.events[2].unit(copySink, 0).kind = poison
	i := s.to(copySink, 2, 0)
	s.entries[i] = entry{what: lettered, at: s.entries[i].at, offset: 2, sink: copySink}
	s.w.stored = []stored{{topic: "copies", offset: 2, sink: copySink, code: "SINK_REJECTED", key: "k", value: string(s.w.events[2].value())}}
	return &s.w.stored[0]
}

func TestOracle_findsFaultsOfSeveralSinks(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*story)
		says   string
	}{
		"lost for one sink": {func(s *story) { s.forget(copySink, 2, 0) }, "LOST: 0/2 to copy"},
		"a commit before the second sink is done": {func(s *story) {
			s.put(s.to(copySink, 2, 0), entry{what: asked, offset: 3})
		}, "0/3 was committed before all below it was settled"},
		"order broken at one sink": {func(s *story) { s.swap(s.to(copySink, 0, 0), s.to(copySink, 2, 0)) }, "0/2 to copy was delivered before 0/0 to copy"},
		"delivered to a sink that does not take it": {func(s *story) {
			s.add(entry{what: delivered, who: "A.1", n: 1, sink: copySink, text: "200 orders-0-1 v1000000"})
		}, "0/1 (event 1) was sent to copy, which it is not for"},
		"refused by a sink that does not take it": {func(s *story) {
			s.add(entry{what: refused, who: "A.1", n: 1, sink: copySink, text: "503 orders-0-1 v1000000"})
		}, "0/1 (event 1) was sent to copy, which it is not for"},
		"no progress at one sink":            {func(s *story) { s.forget(copySink, 14, 0) }, "5/1 to copy, sent after the last fault, was not delivered"},
		"the letter of another sink":         {func(s *story) { s.buried().sink = mainSink }, "LOST: 0/2 to copy"},
		"a letter that names no sink":        {func(s *story) { s.buried().sink = "" }, `0/2, piece 0, for the sink "", which it is not for`},
		"a letter in the other sink's topic": {func(s *story) { s.buried().topic = letters }, "the dead letter of 0/2 to copy stands in " + letters},
		"a letter of a record that was no event, with a sink": {func(s *story) {
			s.is(0, malformed)
			s.w.stored = []stored{{topic: letters, sink: mainSink, code: "DECODE_FAILED", key: "k", value: string(s.w.events[0].value())}}
		}, `the dead letter of 0/0 (malformed) names the sink "main"`},
		"a poisoned one delivered": {func(s *story) { s.w.events[2].unit(copySink, 0).kind = poison }, "0/2 to copy (poison) was delivered"},
		"a replay that reaches the other sink": {func(s *story) {
			s.replayed()
			s.add(entry{what: delivered, who: "A.1", sink: mainSink, text: "200 orders-0-5 v1000000"})
		}, "0/5 (event 0) was sent to main, which it is not for"},
		"a replay that the sink does not get": {func(s *story) {
			s.replayed()
			s.entries[len(s.entries)-1].what = remark
			s.add(entry{what: committed, offset: 6})
		}, "LOST: 0/5 to copy"},
		"twice, though all sinks were done": {func(s *story) {
			s.moves()
			s.once("B.1", copySink, 2)
		}, "0/2 to copy (event 2, good) was settled by A.1"},
		"twice, while another sink was not done and the partition stayed": {func(s *story) {
			s.forget(copySink, 2, 0)
			s.once("A.1", mainSink, 2)
		}, "0/2 (event 2, good) was settled by A.1"},
		"sent by a file without the sink": {func(s *story) { s.file(0, "A.1", lastVersion, true) }, "event 0 was sent to copy by A.1 v1000000, whose file is without it"},
		"lost, while another member's file was without the sink": {func(s *story) {
			s.file(0, "B.1", 7, true)
			s.forget(copySink, 2, 0)
		}, "LOST: 0/2 to copy"},
		"lost, and a file without the sink came after the commit": {func(s *story) {
			s.forget(copySink, 2, 0)
			s.file(s.firstCommitOf()+1, "A.1", 7, true)
			s.entries[s.firstCommitOf()+1].at++
		}, "LOST: 0/2 to copy"},
		"lost, long after a file without the sink": {func(s *story) {
			s.forget(copySink, 2, 0)
			for i := range s.entries {
				s.entries[i].at += 2 * mostDrain
			}
			s.entries = slices.Insert(s.entries, 0, entry{what: filed, who: "A.1", n: 7, without: true}, entry{what: filed, who: "A.1", n: 8})
		}, "LOST: 0/2 to copy"},
		"a sink that is away stops the other": {func(s *story) {
			s.hasAway()
			i, j := s.to(copySink, 16, 0), s.where(back, func(entry) bool { return true })
			s.swap(i, j)
		}, "0/5 to copy was not delivered while main was away"},
	} {
		t.Run(name, func(t *testing.T) {
			s := severalStory()
			tc.change(s)
			if broken := judge(s.w, s.entries); !slices.ContainsFunc(broken, func(b string) bool { return strings.Contains(b, tc.says) }) {
				t.Errorf("it says %q, and not %q", broken, tc.says)
			}
		})
	}
}

func TestOracle_excusesWhatCannotBeHelpedWithSeveralSinks(t *testing.T) {
	for name, change := range map[string]func(*story){
		"nothing at all": func(*story) {},
		"handed back, because another sink was not done": func(s *story) {
			i := s.to(copySink, 2, 0)
			late := s.entries[i]
			s.entries[i].what = remark
			s.moves()
			s.once("B.1", mainSink, 2)
			late.who = "B.1"
			s.put(s.firstCommitOf(), late)
		},
		"handed back, because the answer of another sink got lost": func(s *story) {
			s.put(s.to(copySink, 2, 0)+1, entry{what: unanswered, who: "A.1", n: 2, sink: copySink, text: "orders-0-2"})
			s.moves()
			s.once("B.1", mainSink, 2)
			s.once("B.1", copySink, 2)
		},
		"a file without the sink": func(s *story) {
			s.file(0, "A.1", 7, true)
			s.forget(copySink, 2, 0)
		},
		"a file without the sink, taken in once the event was held": func(s *story) {
			s.forget(copySink, 2, 0)
			s.file(s.firstCommitOf(), "A.1", 7, true)
		},
		"a dead letter of one sink": func(s *story) { s.buried() },
		"a replay of one sink":      func(s *story) { s.replayed() },
		"a sink that is away":       func(s *story) { s.hasAway() },
		"a sink that is away while the partition changes hands": func(s *story) {
			s.hasAway()
			i, j := s.to(copySink, 16, 0), s.where(back, func(entry) bool { return true })
			s.swap(i, j)
			s.put(i, entry{what: owned, who: "B.1-id"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := severalStory()
			change(s)
			if broken := judge(s.w, s.entries); len(broken) > 0 {
				t.Errorf("it says %q", broken)
			}
		})
	}
}

func TestOracle_findsFaultsOfRecordsThatAreSplit(t *testing.T) {
	many := func(s *story) *event { // an event of the key of a split record
		i := slices.IndexFunc(s.w.events[:3], func(e *event) bool { return e.pieces > 1 })
		return s.w.events[i]
	}
	for name, tc := range map[string]struct {
		change func(*story, *event)
		says   string // %d: number of the event
	}{
		"a piece is lost": {func(s *story, e *event) { s.forget(mainSink, e.n, 1) }, "LOST: 0/%d#1"},
		"a commit before the last piece": {func(s *story, e *event) {
			s.put(s.to(mainSink, e.n, e.pieces-1), entry{what: asked, offset: int64(e.n + 1)})
		}, "was committed before all below it was settled"},
		"pieces out of order": {func(s *story, e *event) { s.swap(s.to(mainSink, e.n, 0), s.to(mainSink, e.n, 1)) }, "0/%[1]d#1 was delivered before 0/%[1]d#0"},
		"a piece by the id of another": {func(s *story, e *event) {
			d := &s.entries[s.to(mainSink, e.n, 1)]
			d.text = strings.Replace(d.text, "#1", "#0", 1)
		}, `was sent as "200 orders-0-%d#0`},
		"a piece that there is not": {func(s *story, e *event) {
			s.add(entry{what: delivered, who: "A.1", n: e.n, sink: mainSink, piece: 7, text: fmt.Sprintf("200 orders-0-%d#7 v1000000", e.n)})
		}, "0/%d (event %[1]d) was sent to main, which it is not for"},
	} {
		t.Run(name, func(t *testing.T) {
			s := storyOf(&plan{split: true, seed: 2})
			e := many(s)
			if broken := judge(s.w, s.entries); len(broken) > 0 {
				t.Fatalf("of the story as it is, it says %q", broken)
			}
			tc.change(s, e)
			says := tc.says
			if strings.Contains(says, "%") {
				says = fmt.Sprintf(says, e.n)
			}
			if broken := judge(s.w, s.entries); !slices.ContainsFunc(broken, func(b string) bool { return strings.Contains(b, says) }) {
				t.Errorf("it says %q, and not %q", broken, says)
			}
		})
	}
}
