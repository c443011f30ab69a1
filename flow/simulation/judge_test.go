//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is a small history: three events of one key in partition 0, and the epilogue. Without
// changes, no rule is broken.
type story struct {
	w       *world
	entries []entry
}

func newStory() *story { return storyOf(&plan{}) }

func storyOf(p *plan) *story {
	s := &story{w: &world{plan: p}}
	p.ordering = "key"
	for n := range 3 {
		s.w.events = append(s.w.events, &event{n: n, key: "k", good: true})
	}
	for i := range epilogue {
		s.w.events = append(s.w.events, &event{n: 3 + i, part: int32(i % partitions), good: true, last: true})
	}
	for _, e := range s.w.events {
		p.setUnits(e)
	}
	next := map[int32]int64{}
	for _, e := range s.w.events {
		s.add(entry{what: produced, n: e.n, part: e.part, offset: next[e.part]})
		next[e.part]++
	}
	for _, e := range s.w.events {
		s.deliver("A.1", e.n)
	}
	for part, end := range next {
		s.add(entry{what: asked, part: part, offset: end, text: "by A.1-id"})
		s.add(entry{what: committed, part: part, offset: end})
	}
	return s
}

func (s *story) add(e entry) {
	e.at = time.Duration(len(s.entries)) * 50 * time.Millisecond
	s.entries = append(s.entries, e)
}

func (s *story) deliver(who string, n int) {
	for _, e := range s.entries {
		if e.what == produced && e.n == n {
			for _, u := range s.w.events[n].units {
				s.add(entry{what: delivered, who: who, n: n, sink: u.sink, piece: u.piece, text: fmt.Sprintf("200 %s v%d", s.id(e, u), lastVersion)})
			}
			return
		}
	}
}

// id returns the id of an event of the record.
func (s *story) id(e entry, u *unit) string {
	id := fmt.Sprintf("%s-%d-%d", topic, e.part, e.offset)
	if s.w.plan.split {
		id += fmt.Sprint("#", u.piece)
	}
	return id
}

// is changes the kind of an event.
func (s *story) is(n int, k kind) {
	s.w.events[n].kind = k
	s.w.plan.setUnits(s.w.events[n])
}

// expelled begins the story with a fault that costs a member its partitions and ends before
// anything is delivered.
func (s *story) expelled(who string) {
	s.entries = slices.Insert(s.entries, 0,
		entry{what: excuse, text: "errors", until: 100 * time.Millisecond},
		entry{who: who, at: 50 * time.Millisecond, text: "WARN all partitions lost: the group went on without this member partitions=2"})
}

// where returns the index of the first entry that matches.
func (s *story) where(what happening, is func(entry) bool) int {
	return slices.IndexFunc(s.entries, func(e entry) bool { return e.what == what && is(e) })
}

func (s *story) delivery(n int) int {
	return s.where(delivered, func(e entry) bool { return e.n == n })
}

// notAnswered is what a member logs after it waited in vain for JoinGroup.
const notAnswered = "INFO franz-go: group manage loop errored group=g err=read tcp: i/o timeout"

func TestOracle_findsNothingInAGoodHistory(t *testing.T) {
	s := newStory()
	if broken := judge(s.w, s.entries); len(broken) > 0 {
		t.Errorf("found %q", broken)
	}
}

func TestOracle_findsEachFault(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*story)
		says   string // the rule that must be reported
	}{
		"a lost event": {func(s *story) { s.entries[s.delivery(1)].what = remark }, "LOST: 0/1"},
		"a commit over a hole": {func(s *story) {
			i := s.delivery(0)
			s.entries = slices.Insert(s.entries, i, entry{what: asked, offset: 1, at: s.entries[i].at})
		}, "0/1 was committed before all below it was settled"},
		"a commit beyond the log": {func(s *story) { s.add(entry{what: asked, offset: 99}) }, "0/99 is committed, beyond the end"},
		"a commit that goes down": {func(s *story) { s.add(entry{what: committed, offset: 2}) }, "the commit of partition 0 went down from 5 to 2"},
		"order broken": {func(s *story) {
			a, b := s.delivery(0), s.delivery(1)
			s.entries[a], s.entries[b] = s.entries[b], s.entries[a]
		}, "0/1 was delivered before 0/0"},
		"another id":             {func(s *story) { e := &s.entries[s.delivery(2)]; e.text = strings.Replace(e.text, "-0-2", "-0-7", 1) }, `event 2 (0/2) was sent as "200 orders-0-7`},
		"another id on the copy": {func(s *story) { s.deliver("A.1", 2); s.entries[len(s.entries)-1].text = "200 other v1" }, `was sent as "200 other`},
		"no progress":            {func(s *story) { s.entries[s.delivery(14)].what = remark }, "5/1, sent after the last fault, was not delivered"},
		"an old version at last": {func(s *story) {
			e := &s.entries[s.delivery(14)]
			e.text = strings.Replace(e.text, fmt.Sprint(lastVersion), "7", 1)
		}, "by the last version"},
		"a filtered event":         {func(s *story) { s.is(1, dropped) }, "0/1 (dropped) was delivered"},
		"a poisoned one delivered": {func(s *story) { s.is(1, poison) }, "0/1 (poison) was delivered"},
		"twice, without a reason":  {func(s *story) { s.deliver("B.1", 1) }, "0/1 (event 1, good) was settled by A.1"},
		"twice, after another member's crash": {func(s *story) {
			s.add(entry{what: excuse, who: "C.1", text: "crashes", until: time.Hour})
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"twice, after a crash long after the commit": {func(s *story) {
			s.entries = append(s.entries, entry{what: excuse, who: "A.1", at: time.Hour, until: time.Hour, text: "crashes"})
			s.entries = append(s.entries, entry{what: delivered, who: "B.1", n: 1, sink: mainSink, at: time.Hour + 1, text: "200 orders-0-1 v1"})
		}, "0/1 (event 1, good) was settled by A.1"},
		"twice, while a third one's JoinGroup was not answered": {func(s *story) {
			s.add(entry{who: "C.1", text: notAnswered})
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"twice, after partitions were lost without a trouble": {func(s *story) {
			s.expelled("B.1")
			s.entries = s.entries[1:]
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"twice, after a third one lost its partitions": {func(s *story) {
			s.expelled("C.1")
			s.deliver("B.1", 1)
		}, "0/1 (event 1, good) was settled by A.1"},
		"twice, longer than a drain after partitions were lost": {func(s *story) {
			s.expelled("B.1")
			s.deliver("B.1", 1)
			s.entries[len(s.entries)-1].at = drain + time.Second
		}, "0/1 (event 1, good) was settled by A.1"},
		"more after a crash than was in flight": {func(s *story) {
			s.add(entry{what: excuse, who: "A.1", text: "crashes", until: time.Hour, most: 1})
			s.deliver("B.1", 0)
			s.deliver("B.1", 1)
		}, "2 events of partition 0 came again"},
		"a gap where nothing was deleted":   {func(s *story) { s.add(entry{what: gapped, offset: 0, upTo: 2}) }, "a gap of partition 0 from 0 to 2 was reported"},
		"a dead letter of what is filtered": {func(s *story) { s.is(0, dropped); s.w.stored = []stored{{key: "k"}} }, "is filtered, and stands in the dead letter queue"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			tc.change(s)
			if broken := judge(s.w, s.entries); !slices.ContainsFunc(broken, func(b string) bool { return strings.Contains(b, tc.says) }) {
				t.Errorf("it says %q, and not %q", broken, tc.says)
			}
		})
	}
}

func TestOracle_excusesWhatCannotBeHelped(t *testing.T) {
	for name, change := range map[string]func(*story){
		"an answer that got lost": func(s *story) {
			s.add(entry{what: unanswered, who: "A.1", n: 1, sink: mainSink})
			s.deliver("B.1", 1)
		},
		"a crash before the commit": func(s *story) {
			s.add(entry{what: excuse, who: "A.1", text: "crashes", until: time.Hour, most: 64})
			s.deliver("B.1", 1)
		},
		"a crash after a commit that was sent again, as it had been before": func(s *story) {
			s.entries = slices.Insert(s.entries, s.delivery(0), entry{what: asked, part: 0, text: "by A.1-id", note: "fiso"})
			i := s.where(asked, func(e entry) bool { return e.part == 0 && e.offset > 0 })
			s.entries = slices.Insert(s.entries, i, entry{what: asked, part: 0, text: "by A.1-id", note: "fiso"}, entry{what: committed, part: 0})
			s.entries[i+2].text = "by B.1-id" // A.1 never commits its work
			s.add(entry{what: excuse, who: "A.1", text: "crashes", until: time.Hour, most: 1})
			s.deliver("B.1", 0)
			s.deliver("B.1", 1)
		},
		"a call that was under way when its partition was lost": func(s *story) {
			s.expelled("B.1")
			s.deliver("B.1", 1)
		},
		"a member whose JoinGroup was not answered": func(s *story) {
			s.deliver("B.1", 1)
			s.add(entry{who: "A.1", text: notAnswered})
		},
		"a cluster that takes no commits": func(s *story) {
			s.add(entry{what: excuse, text: "errors", until: time.Hour})
			s.deliver("B.1", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			change(s)
			if broken := judge(s.w, s.entries); len(broken) > 0 {
				t.Errorf("it says %q", broken)
			}
		})
	}
}
