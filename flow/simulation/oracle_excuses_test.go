//go:build synctests

package simulation

import (
	"slices"
	"strings"
	"time"
)

const (
	// afterwards is how long a rebalance may take once something began it: the
	// slowest member drains, or a session runs out.
	afterwards = time.Minute
	// noticed is how long after a trouble has ended a member may go on with
	// partitions that are another's by then: until its next heartbeat is
	// answered, which backoff may put off.
	noticed = 15 * time.Second
	// committing is how long a member may take to commit what can be: a
	// commit interval, and a second go.
	committing = 3 * time.Second
)

func (s settling) String() string {
	if s.letter {
		return "a dead letter"
	}
	return s.who
}

// excused tells whether there is a reason that an event was settled by a, and
// by b once more. There are five, and no other.
func (o *oracle) excused(f *fate, a, b settling) bool {
	whole, done := o.whole(f, a, b)
	return unknown(a, b) || !done && o.moved(f.of.place.part, a, b) || o.onItsWay(f, whole) || o.uncommitted(whole, b) || o.late(a) || o.late(b)
}

// whole is what made the record settled beside a, for all other sinks; done is
// false when it was not before b: then it is handed back with its assignment, and
// comes again to each sink.
func (o *oracle) whole(f *fate, a, b settling) (whole settling, done bool) {
	whole, done = a, true
	for _, other := range f.of.fates {
		if other == f {
			continue
		}
		i := slices.IndexFunc(other.done, func(s settling) bool {
			return s.i < b.i && !s.unanswered && (s.letter || a.letter || s.who == a.who) && !o.moved(f.of.place.part, s, a)
		})
		if i < 0 {
			done = false
			continue
		}
		s := other.done[i]
		whole.at, whole.letter = max(whole.at, s.at), whole.letter || s.letter
	}
	return whole, done
}

// moved reports whether an assignment of the partition may have ended between two
// moments. Calls under way may go on for the time to drain.
func (o *oracle) moved(part int32, a, b settling) bool {
	from, to := min(a.at, b.at)-drain, max(a.at, b.at)
	return slices.ContainsFunc(o.entries, func(e entry) bool {
		return (e.what == owned && e.part == part || lost(e)) && e.at >= from && e.at <= to
	})
}

// lost reports whether a member's log says that it lost its partitions.
func lost(e entry) bool {
	return e.what == remark && strings.Contains(e.text, "the group went on without this member")
}

// late: it may be that of a call under way when the partition was lost.
func (o *oracle) late(s settling) bool {
	return slices.ContainsFunc(o.overtaken, func(e entry) bool { return !s.letter && e.who == s.who && e.at <= s.at && s.at <= e.until })
}

// onItsWay: the answer came in the very moment in which the time to drain was
// over, and the member made its last commit of the partition without it.
func (o *oracle) onItsWay(f *fate, a settling) bool {
	for _, e := range slices.Backward(o.entries) {
		if e.what == asked && e.part == f.of.place.part && strings.HasPrefix(e.text, "by "+a.who+"-") {
			return e.at >= a.at && e.at <= a.at+2*wayThere
		}
	}
	return false
}

// unknown: the service accepted it, and its answer did not arrive. It may have
// been the later call, which was given up before the other was made.
func unknown(a, b settling) bool { return a.unanswered || b.unanswered }

// uncommitted: a trouble came before what was done could be committed. It is
// the trouble of the one member that settled the event, or of the whole
// cluster. Of a dead letter it is not known who wrote it; a member that was cut
// off sends those that were under way when it is back.
func (o *oracle) uncommitted(a, b settling) bool {
	reach := o.due(a)
	for _, e := range o.forgotten {
		if e.at <= b.at && e.until >= a.at && (a.letter || e.who == a.who || e.who == b.who) {
			return true
		}
	}
	for _, e := range o.excuses {
		if e.at <= min(b.at, reach) && e.until >= a.at && (e.who == "" || a.letter || b.letter || e.who == a.who) {
			return true
		}
	}
	return false
}

// due is when a commit of what was settled is to be expected at the latest, be
// there something unsettled before it or not: commits tell what is done beyond
// their offset. A rebalance holds commits up: franz-go sends none while it waits
// for the other members.
func (o *oracle) due(a settling) time.Duration {
	due := a.at + committing
	for _, e := range o.entries {
		if e.what == moves && e.at <= due && e.until > due {
			due = e.until
		}
	}
	return due
}
