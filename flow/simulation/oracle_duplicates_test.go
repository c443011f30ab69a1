//go:build synctests

package simulation

import (
	"slices"
	"strings"
	"time"
)

const (
	// maxRebalance is how long a rebalance may take after its cause: until the slowest member has
	// drained, or a session has expired.
	maxRebalance = time.Minute
	// noticeDelay is how long after a fault a member may continue with partitions that it has lost:
	// until its next heartbeat is answered, which backoff may delay.
	noticeDelay = 15 * time.Second
	// maxCommitDelay is how long a member may take to commit: a commit interval and a second try.
	maxCommitDelay = 3 * time.Second
)

func (s settlement) String() string {
	if s.deadLetter {
		return "a dead letter"
	}
	return s.member
}

// isExplained reports whether there is a reason that an event was settled by a, and again by b. There
// are exactly seven reasons.
func (o *oracle) isExplained(out *outcome, a, b settlement) bool {
	last, done := o.lastSettlement(out, a, b)
	return isUnknown(a, b) || !done && o.ownerMayHaveChanged(out.of.position.part, a, b) || o.answeredAtDrainEnd(out, last) ||
		o.commitPrevented(last, b) || o.commitRefused(last, b) || o.doneAheadForgotten(out, a, b) || o.inFlightWhenLost(a) || o.inFlightWhenLost(b)
}

// lastSettlement returns the settlement by which the record was settled for all sinks. done is false if that
// was not before b: then the record is handed back with its assignment, and comes again to each
// sink.
func (o *oracle) lastSettlement(out *outcome, a, b settlement) (last settlement, done bool) {
	last, done = a, true
	for _, other := range out.of.outcomes {
		if other == out {
			continue
		}
		i := slices.IndexFunc(other.done, func(s settlement) bool {
			return s.i < b.i && !s.answerLost && (s.deadLetter || a.deadLetter || s.member == a.member) && !o.ownerMayHaveChanged(out.of.position.part, s, a)
		})
		if i < 0 {
			done = false
			continue
		}
		s := other.done[i]
		last.at, last.deadLetter = max(last.at, s.at), last.deadLetter || s.deadLetter
	}
	return last, done
}

// ownerMayHaveChanged reports whether an assignment of the partition may have ended between two settlements. Calls
// in flight may continue for the drain time.
func (o *oracle) ownerMayHaveChanged(part int32, a, b settlement) bool {
	from, to := min(a.at, b.at)-drain, max(a.at, b.at)
	return slices.ContainsFunc(o.entries, func(e entry) bool {
		return (e.kind == ownerChanged && e.part == part || losesPartitions(e)) && e.at >= from && e.at <= to
	})
}

// losesPartitions reports whether a member logged that it lost its partitions.
func losesPartitions(e entry) bool {
	return e.kind == note && strings.Contains(e.text, "the group went on without this member")
}

// inFlightWhenLost reports whether the call may have been in flight when the partition was lost.
func (o *oracle) inFlightWhenLost(s settlement) bool {
	return slices.ContainsFunc(o.lostPartitions, func(e entry) bool { return !s.deadLetter && e.member == s.member && e.at <= s.at && s.at <= e.until })
}

// answeredAtDrainEnd reports whether the answer arrived just when the drain time ended, so that the last
// commit of the member did not include it.
func (o *oracle) answeredAtDrainEnd(out *outcome, a settlement) bool {
	for _, e := range slices.Backward(o.entries) {
		if e.kind == commitRequested && e.part == out.of.position.part && strings.HasPrefix(e.text, "by "+a.member+"-") {
			return e.at >= a.at && e.at <= a.at+2*writeLatency
		}
	}
	return false
}

// isUnknown reports whether the answer to one of the calls was lost. It may also be the later call,
// which was abandoned before the other was made.
func isUnknown(a, b settlement) bool { return a.answerLost || b.answerLost }

// commitPrevented reports whether a fault happened before the first settlement could be committed: a
// fault of the member that settled the event, or of the whole cluster. The writer of a dead letter
// is not known. A member that was cut off sends its pending dead letters when it is back.
func (o *oracle) commitPrevented(a, b settlement) bool {
	reach := o.commitDue(a)
	for _, e := range o.unansweredJoins {
		if e.at <= b.at && e.until >= a.at && (a.deadLetter || e.member == a.member || e.member == b.member) {
			return true
		}
	}
	for _, e := range o.faultPeriods {
		if e.at <= min(b.at, reach) && e.until >= a.at && (e.member == "" || a.deadLetter || b.deadLetter || e.member == a.member) {
			return true
		}
	}
	return false
}

// commitRefused reports whether the member that settled the event released its partitions during a
// rebalance that did not end, because another member was cut off, and gave up after the broker had
// refused its commits for as long as it waits. Kafka takes no commits of a classic group while the
// leader's assignment is outstanding.
func (o *oracle) commitRefused(a, b settlement) bool {
	return slices.ContainsFunc(o.entries, func(e entry) bool {
		return !a.deadLetter && e.kind == note && e.member == a.member && e.at >= a.at && e.at <= b.at &&
			strings.Contains(e.text, commitGivenUp) && slices.ContainsFunc(o.faultPeriods, func(why entry) bool {
			return why.member != "" && why.member != a.member && why.at <= e.at && e.at <= why.until
		})
	})
}

// doneAheadForgotten reports whether a member was told OFFSET_OUT_OF_RANGE between the settlements, and
// the record was done ahead of the committed offset. The source then forgets what is done ahead: the log may
// have lost its end, and other records may have these offsets.
func (o *oracle) doneAheadForgotten(out *outcome, a, b settlement) bool {
	told := slices.ContainsFunc(o.entries, func(e entry) bool {
		return e.kind == note && e.at >= a.at && e.at <= b.at && strings.HasSuffix(e.text, outOfRangeAnswers)
	})
	return told && !slices.ContainsFunc(o.entries, func(e entry) bool {
		return e.kind == committed && e.part == out.of.position.part && e.offset > out.of.position.offset && e.at <= b.at
	})
}

// outOfRangeAnswers ends the note of the fault that answers OFFSET_OUT_OF_RANGE.
const outOfRangeAnswers = " times the cluster answers Fetch with OFFSET_OUT_OF_RANGE"

// commitGivenUp is what a member logs at level WARN.
const commitGivenUp = "WARN last commit of released partitions failed"

// commitDue returns when a commit of the settlement is expected at the latest. Earlier unsettled events do
// not matter: the commit metadata lists what is done beyond the offset. A rebalance delays
// commits, because franz-go sends none while it waits for other members.
func (o *oracle) commitDue(a settlement) time.Duration {
	due := a.at + maxCommitDelay
	for _, e := range o.entries {
		if e.kind == rebalance && e.at <= due && e.until > due {
			due = e.until
		}
	}
	return due
}
