//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// example is a small history: three events of one key in partition 0, and the final events. Without
// changes, no rule is broken.
type example struct {
	sim     *simulation
	entries []entry
}

func newExample() *example { return newExampleOf(&plan{}) }

func newExampleOf(p *plan) *example {
	s := &example{sim: &simulation{plan: p}}
	p.ordering = "key"
	for n := range 3 {
		s.sim.events = append(s.sim.events, &event{n: n, key: "k", deliverable: true})
	}
	for i := range finalEvents {
		s.sim.events = append(s.sim.events, &event{n: 3 + i, part: int32(i % partitions), deliverable: true, final: true})
	}
	for _, e := range s.sim.events {
		p.setExpected(e)
	}
	next := map[int32]int64{}
	for _, e := range s.sim.events {
		s.add(entry{kind: produced, n: e.n, part: e.part, offset: next[e.part]})
		next[e.part]++
	}
	for _, e := range s.sim.events {
		s.deliver("A.1", e.n)
	}
	for part, end := range next {
		s.add(entry{kind: commitRequested, part: part, offset: end, text: "by A.1-id"})
		s.add(entry{kind: committed, part: part, offset: end})
	}
	return s
}

func (s *example) add(e entry) {
	e.at = time.Duration(len(s.entries)) * 50 * time.Millisecond
	s.entries = append(s.entries, e)
}

func (s *example) deliver(member string, n int) {
	for _, e := range s.entries {
		if e.kind == produced && e.n == n {
			for _, u := range s.sim.events[n].expected {
				s.add(entry{kind: delivered, member: member, n: n, sink: u.sink, piece: u.piece, text: fmt.Sprintf("200 %s v%d", s.id(e, u), lastVersion)})
			}
			return
		}
	}
}

// id returns the id of an event of the record.
func (s *example) id(e entry, u *expectedDelivery) string {
	id := fmt.Sprintf("%s-%d-%d", topic, e.part, e.offset)
	if s.sim.plan.split {
		id += fmt.Sprint("#", u.piece)
	}
	return id
}

// setKind changes the kind of an event.
func (s *example) setKind(n int, k kind) {
	s.sim.events[n].kind = k
	s.sim.plan.setExpected(s.sim.events[n])
}

// addLostPartitions begins the history with a fault that costs a member its partitions and ends before
// anything is delivered.
func (s *example) addLostPartitions(member string) {
	s.entries = slices.Insert(s.entries, 0,
		entry{kind: faultPeriod, text: "errors", until: 100 * time.Millisecond},
		entry{member: member, at: 50 * time.Millisecond, text: "WARN all partitions lost: the group went on without this member partitions=2"})
}

// beforeCommits lets change add entries before the commits.
func (s *example) beforeCommits(change func()) {
	isCommit := func(e entry) bool { return e.kind == commitRequested || e.kind == committed }
	commits := slices.DeleteFunc(slices.Clone(s.entries), func(e entry) bool { return !isCommit(e) })
	s.entries = slices.DeleteFunc(s.entries, isCommit)
	change()
	for _, e := range commits {
		s.add(e)
	}
}

// index returns the index of the first entry that matches.
func (s *example) index(what entryKind, is func(entry) bool) int {
	return slices.IndexFunc(s.entries, func(e entry) bool { return e.kind == what && is(e) })
}

func (s *example) deliveryOf(n int) int {
	return s.index(delivered, func(e entry) bool { return e.n == n })
}

// joinTimedOut is what a member logs after JoinGroup timed out.
const joinTimedOut = "INFO franz-go: group manage loop errored group=g err=read tcp: i/o timeout"

// lastCommitRefused is what a member logs that released its partitions during a rebalance.
const lastCommitRefused = commitGivenUp + " error=commit orders partition 0: REBALANCE_IN_PROGRESS"

func TestOracle_acceptsAValidHistory(t *testing.T) {
	s := newExample()
	if violations := judge(s.sim, s.entries); len(violations) > 0 {
		t.Errorf("violations %q", violations)
	}
}

func TestOracle_reportsEachBrokenRule(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*example)
		wants  string // the rule that must be reported
	}{
		"a lost event": {func(s *example) { s.entries[s.deliveryOf(1)].kind = note }, "LOST: 0/1"},
		"a commit past an unsettled event": {func(s *example) {
			i := s.deliveryOf(0)
			s.entries = slices.Insert(s.entries, i, entry{kind: commitRequested, offset: 1, at: s.entries[i].at})
		}, "0/1 was committed before all below it was settled"},
		"a commit beyond the log": {func(s *example) { s.add(entry{kind: commitRequested, offset: 99}) }, "0/99 is committed, beyond the end"},
		"a commit that goes down": {func(s *example) { s.add(entry{kind: committed, offset: 2}) }, "the commit of partition 0 went down from 5 to 2"},
		"out of order": {func(s *example) {
			a, b := s.deliveryOf(0), s.deliveryOf(1)
			s.entries[a], s.entries[b] = s.entries[b], s.entries[a]
		}, "0/1 was delivered before 0/0"},
		"wrong event id": {func(s *example) {
			e := &s.entries[s.deliveryOf(2)]
			e.text = strings.Replace(e.text, "-0-2", "-0-7", 1)
		}, `event 2 (0/2) was sent as "200 orders-0-7`},
		"wrong event id of a repeated delivery": {func(s *example) { s.deliver("A.1", 2); s.entries[len(s.entries)-1].text = "200 other v1" },
			`was sent as "200 other`},
		"no delivery after the last fault": {func(s *example) { s.entries[s.deliveryOf(14)].kind = note }, "5/1, sent after the last fault, was not delivered"},
		"an old version of the flow after the last fault": {func(s *example) {
			e := &s.entries[s.deliveryOf(14)]
			e.text = strings.Replace(e.text, fmt.Sprint(lastVersion), "7", 1)
		}, "by the last version"},
		"a filtered event is delivered": {func(s *example) { s.setKind(1, filtered) }, "0/1 (filtered) was delivered"},
		"a poison event is delivered":   {func(s *example) { s.setKind(1, poison) }, "0/1 (poison) was delivered"},
		"settled twice without a fault": {func(s *example) { s.deliver("B.1", 1) }, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after another member's crash": {func(s *example) {
			s.add(entry{kind: faultPeriod, member: "C.1", text: "crashes", until: time.Hour})
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after a crash long after the commit": {func(s *example) {
			s.entries = append(s.entries, entry{kind: faultPeriod, member: "A.1", at: time.Hour, until: time.Hour, text: "crashes"})
			s.entries = append(s.entries, entry{kind: delivered, member: "B.1", n: 1, sink: mainSink, at: time.Hour + 1, text: "200 orders-0-1 v1"})
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, while the JoinGroup of a third member was not answered": {func(s *example) {
			s.add(entry{member: "C.1", text: joinTimedOut})
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after the last commit was refused in a rebalance of healthy members": {func(s *example) {
			s.add(entry{member: "A.1", text: lastCommitRefused})
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after the last commit of a third member was refused": {func(s *example) {
			s.add(entry{kind: faultPeriod, member: "B.1", text: "is cut off", until: time.Hour})
			s.add(entry{member: "C.1", text: lastCommitRefused})
			s.deliver("D.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after partitions were lost without a fault": {func(s *example) {
			s.addLostPartitions("B.1")
			s.entries = s.entries[1:]
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after partitions were lost while the JoinGroup of a third member was not answered": {func(s *example) {
			s.addLostPartitions("B.1")
			s.entries[0] = entry{member: "C.1", at: 50 * time.Millisecond, text: joinTimedOut}
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after OFFSET_OUT_OF_RANGE and a commit": {func(s *example) {
			s.add(entry{kind: note, text: "10" + outOfRangeAnswers})
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after another error of Fetch": {func(s *example) {
			s.beforeCommits(func() {
				s.add(entry{kind: note, text: "10 times the cluster answers Fetch with NOT_LEADER_OR_FOLLOWER"})
				s.deliver("B.1", 1)
			})
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, after a third member lost its partitions": {func(s *example) {
			s.addLostPartitions("C.1")
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"settled twice, longer than a drain after partitions were lost": {func(s *example) {
			s.addLostPartitions("B.1")
			s.deliver("B.1", 1)
			s.entries[len(s.entries)-1].at = drain + time.Second
		}, "0/1 (event 1, good) was settled by A.1"},
		"more events repeated after a crash than were in flight": {func(s *example) {
			s.add(entry{kind: faultPeriod, member: "A.1", text: "crashes", until: time.Hour, maxInFlight: 1})
			s.deliver("B.1", 0)
			s.deliver("B.1", 1)
		}, "2 events of partition 0 were repeated"},
		"a gap where nothing was deleted": {func(s *example) { s.add(entry{kind: gapReported, offset: 0, upTo: 2}) },
			"a gap of partition 0 from 0 to 2 was reported"},
		"a dead letter of a filtered event": {func(s *example) { s.setKind(0, filtered); s.sim.deadLetters = []deadLetter{{key: "k"}} },
			"is filtered, but has a dead letter"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExample()
			tc.change(s)
			if violations := judge(s.sim, s.entries); !slices.ContainsFunc(violations, func(b string) bool { return strings.Contains(b, tc.wants) }) {
				t.Errorf("violations %q, want %q", violations, tc.wants)
			}
		})
	}
}

func TestOracle_acceptsWhatFaultsExplain(t *testing.T) {
	for name, change := range map[string]func(*example){
		"a lost answer": func(s *example) {
			s.add(entry{kind: answerLost, member: "A.1", n: 1, sink: mainSink})
			s.deliver("B.1", 1)
		},
		"a crash before the commit": func(s *example) {
			s.add(entry{kind: faultPeriod, member: "A.1", text: "crashes", until: time.Hour, maxInFlight: 64})
			s.deliver("B.1", 1)
		},
		"a crash after a commit that was sent again unchanged": func(s *example) {
			s.entries = slices.Insert(s.entries, s.deliveryOf(0), entry{kind: commitRequested, part: 0, text: "by A.1-id", metadata: "fiso"})
			i := s.index(commitRequested, func(e entry) bool { return e.part == 0 && e.offset > 0 })
			s.entries = slices.Insert(s.entries, i, entry{kind: commitRequested, part: 0, text: "by A.1-id", metadata: "fiso"}, entry{kind: committed, part: 0})
			s.entries[i+2].text = "by B.1-id" // A.1 never commits its work
			s.add(entry{kind: faultPeriod, member: "A.1", text: "crashes", until: time.Hour, maxInFlight: 1})
			s.deliver("B.1", 0)
			s.deliver("B.1", 1)
		},
		"a call in flight when its partition was lost": func(s *example) {
			s.addLostPartitions("B.1")
			s.deliver("B.1", 1)
		},
		"a call in flight when a JoinGroup without an answer cost its member the partition": func(s *example) {
			s.addLostPartitions("B.1")
			s.entries[0] = entry{member: "B.1", at: 50 * time.Millisecond, text: joinTimedOut}
			s.deliver("B.1", 1)
		},
		"OFFSET_OUT_OF_RANGE, after which what is done ahead is forgotten": func(s *example) {
			s.beforeCommits(func() {
				s.add(entry{kind: note, text: "10" + outOfRangeAnswers})
				s.deliver("B.1", 1)
			})
		},
		"a member whose JoinGroup was not answered": func(s *example) {
			s.deliver("B.1", 1)
			s.add(entry{member: "A.1", text: joinTimedOut})
		},
		"a last commit refused in a rebalance that waits for a member that is cut off": func(s *example) {
			s.add(entry{kind: faultPeriod, member: "C.1", text: "is cut off", until: time.Hour})
			s.add(entry{member: "A.1", text: lastCommitRefused})
			s.deliver("B.1", 1)
		},
		"a cluster that refuses commits": func(s *example) {
			s.add(entry{kind: faultPeriod, text: "errors", until: time.Hour})
			s.deliver("B.1", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExample()
			change(s)
			if violations := judge(s.sim, s.entries); len(violations) > 0 {
				t.Errorf("violations %q", violations)
			}
		})
	}
}
