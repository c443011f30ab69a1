//go:build synctests

package simulation

import (
	"slices"
	"strings"
	"time"
)

const (
	// afterwards is how long a rebalance may take after its cause: until the slowest member has
	// drained, or a session has expired.
	afterwards = time.Minute
	// noticed is how long after a fault a member may continue with partitions that it has lost:
	// until its next heartbeat is answered, which backoff may delay.
	noticed = 15 * time.Second
	// committing is how long a member may take to commit: a commit interval and a second try.
	committing = 3 * time.Second
)

func (s settling) String() string {
	if s.letter {
		return "a dead letter"
	}
	return s.who
}

// excused reports whether there is a reason that an event was settled by a, and again by b. There
// are exactly five reasons.
func (o *oracle) excused(f *fate, a, b settling) bool {
	whole, done := o.whole(f, a, b)
	return unknown(a, b) || !done && o.moved(f.of.place.part, a, b) || o.onItsWay(f, whole) || o.uncommitted(whole, b) || o.late(a) || o.late(b)
}

// whole returns the settling by which the record was settled for all sinks. done is false if that
// was not before b: then the record is handed back with its assignment, and comes again to each
// sink.
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

// moved reports whether an assignment of the partition may have ended between two settlings. Calls
// in flight may continue for the drain time.
func (o *oracle) moved(part int32, a, b settling) bool {
	from, to := min(a.at, b.at)-drain, max(a.at, b.at)
	return slices.ContainsFunc(o.entries, func(e entry) bool {
		return (e.what == owned && e.part == part || lost(e)) && e.at >= from && e.at <= to
	})
}

// lost reports whether a member logged that it lost its partitions.
func lost(e entry) bool {
	return e.what == remark && strings.Contains(e.text, "the group went on without this member")
}

// late reports whether the call may have been in flight when the partition was lost.
func (o *oracle) late(s settling) bool {
	return slices.ContainsFunc(o.overtaken, func(e entry) bool { return !s.letter && e.who == s.who && e.at <= s.at && s.at <= e.until })
}

// onItsWay reports whether the answer arrived just when the drain time ended, so that the last
// commit of the member did not include it.
func (o *oracle) onItsWay(f *fate, a settling) bool {
	for _, e := range slices.Backward(o.entries) {
		if e.what == asked && e.part == f.of.place.part && strings.HasPrefix(e.text, "by "+a.who+"-") {
			return e.at >= a.at && e.at <= a.at+2*wayThere
		}
	}
	return false
}

// unknown reports whether the answer to one of the calls was lost. It may also be the later call,
// which was abandoned before the other was made.
func unknown(a, b settling) bool { return a.unanswered || b.unanswered }

// uncommitted reports whether a fault happened before the first settling could be committed: a
// fault of the member that settled the event, or of the whole cluster. The writer of a dead letter
// is not known. A member that was cut off sends its pending dead letters when it is back.
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

// due returns when a commit of the settling is expected at the latest. Earlier unsettled events do
// not matter: the commit metadata lists what is done beyond the offset. A rebalance delays
// commits, because franz-go sends none while it waits for other members.
func (o *oracle) due(a settling) time.Duration {
	due := a.at + committing
	for _, e := range o.entries {
		if e.what == moves && e.at <= due && e.until > due {
			due = e.until
		}
	}
	return due
}
