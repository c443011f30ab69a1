//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
)

// checkDeadLetters: the dead letter topics contain exactly the letters that were sent to them.
func (o *oracle) checkDeadLetters() {
	for _, s := range o.sim.deadLetters {
		at := position{s.part, s.offset}
		r := o.at[at]
		if r == nil {
			o.require(false, "there is a dead letter of %s, where no event is stored", at)
			continue
		}
		out := r.outcome(s.sink, s.piece)
		if out == nil {
			o.require(false, "there is a dead letter of %s, piece %d, for the sink %q, which it is not for", at, s.piece, s.sink)
			continue
		}
		out.storedCount++
		o.checkDeadLetter(out, s)
	}
	for _, out := range o.outcomes {
		if out.storedCount == 0 { // the letter was refused
			out.done = slices.DeleteFunc(out.done, func(s settlement) bool { return s.deadLetter })
		}
	}
}

func (o *oracle) checkDeadLetter(out *outcome, s deadLetter) {
	o.require(s.value == string(out.of.value()) && s.key == out.of.key, "the dead letter of %s holds %q %q", out, s.key, s.value)
	o.require(s.sink == out.sink, "the dead letter of %s (%s) names the sink %q", out, kinds[out.kind], s.sink)
	o.require(s.topic == o.sim.plan.deadLetterTopicOf(out.sink), "the dead letter of %s is in the topic %s", out, s.topic)
	want := map[kind]string{malformed: "DECODE_FAILED", incomplete: "TRANSFORM_FAILED"}[out.kind]
	switch {
	case out.kind == filtered:
		o.require(false, "%s is filtered, but has a dead letter", out)
	case want != "":
		o.require(s.code == want, "the dead letter of %s (%s) says %s", out, kinds[out.kind], s.code)
	default:
		o.require(strings.HasPrefix(s.code, "SINK_"), "the dead letter of %s (%s) says %s", out, kinds[out.kind], s.code)
	}
}

// checkAccounting: for each sink, accepted = delivered + filtered + dead-lettered + lost to retention and
// reported + still uncommitted.
func (o *oracle) checkAccounting() {
	last := map[int32]int64{}
	for _, e := range o.entries {
		if e.kind == committed {
			last[e.part] = e.offset
		}
	}
	for _, out := range o.outcomes {
		if !out.of.stored {
			continue
		}
		if out.kind == filtered || out.kind.becomesDeadLetter() {
			o.require(out.first < 0, "%s (%s) was delivered", out, kinds[out.kind])
		}
		p := out.of.position
		o.require(out.kind == filtered || out.first >= 0 || out.storedCount > 0 || out.of.gapAt >= 0 || out.optional() || p.offset >= last[p.part],
			"LOST: %s (event %d, %s) was neither delivered, filtered nor dead-lettered, and %d is committed", out, out.of.n, kinds[out.kind], last[p.part])
	}
}

// checkOrder: first deliveries of a lane to a sink are in offset order.
func (o *oracle) checkOrder() {
	latest := map[string]*outcome{}
	for _, r := range o.storedRecords() {
		for _, out := range r.outcomes {
			lane := r.lane(o.sim.plan.ordering)
			if lane == "" || out.first < 0 {
				continue
			}
			lane += " " + out.sink
			before := latest[lane]
			if before == nil || out.first > before.first {
				latest[lane] = out
				continue
			}
			// An event that was a dead letter before a crash and was repeated was settled in order.
			o.require(before.storedCount > 0 || before.deadLetteredFirst() || before.acceptedAfterGap() || before.optional(),
				"%s was delivered before %s, of the same lane %s", out, before, lane)
		}
	}
}

// acceptedAfterGap reports whether a late call of a lost assignment was accepted, and the new owner of
// the partition could not send the earlier event because the cluster had deleted it.
func (out *outcome) acceptedAfterGap() bool { return out.of.gapAt >= 0 && out.first > out.of.gapAt }

func (out *outcome) deadLetteredFirst() bool { return len(out.done) > 0 && out.done[0].deadLetter }

// settledAt returns the index at which the event was settled for its sink, or false.
func (out *outcome) settledAt() (int, bool) {
	switch {
	case out.kind == filtered:
		return 0, true
	case len(out.done) > 0 && (out.of.gapAt < 0 || out.done[0].i < out.of.gapAt):
		return out.done[0].i, true
	case out.of.gapAt >= 0:
		return out.of.gapAt, true
	}
	return 0, out.optional()
}

// settledAt returns the index at which the record was settled: all its sinks were done.
func (r *record) settledAt() (at int, ok bool) {
	for _, out := range r.outcomes {
		i, ok := out.settledAt()
		if !ok {
			return 0, false
		}
		if !out.optional() {
			at = max(at, i)
		}
	}
	return at, true
}

// checkCommits: no commit covers an unsettled event, and committed offsets never decrease.
func (o *oracle) checkCommits() {
	when := map[int32][]int{} // when[p][c] is the index at which everything below offset c of partition p was settled
	never := len(o.entries) + 1
	for _, r := range o.storedRecords() {
		settledAt := when[r.position.part]
		if settledAt == nil {
			settledAt = []int{0}
		}
		for int64(len(settledAt)) <= r.position.offset { // an offset without an event
			settledAt = append(settledAt, settledAt[len(settledAt)-1])
		}
		at, ok := r.settledAt()
		if !ok {
			at = never
		}
		when[r.position.part] = append(settledAt, max(at, settledAt[len(settledAt)-1]))
	}
	seen := map[int32]int64{}
	for i, e := range o.entries {
		switch e.kind {
		case commitRequested:
			settledAt := when[e.part]
			if e.offset == 0 {
				continue
			}
			o.require(e.offset < int64(len(settledAt)), "%s is committed, beyond the end of the log", position{e.part, e.offset})
			o.require(e.offset >= int64(len(settledAt)) || settledAt[e.offset] < i, "at %s, %s was committed before all below it was settled", e.at,
				position{e.part, e.offset})
		case committed:
			o.require(e.offset >= seen[e.part], "at %s, the commit of partition %d went down from %d to %d", e.at, e.part, seen[e.part], e.offset)
			seen[e.part] = max(seen[e.part], e.offset)
		}
	}
}

// checkDuplicates: an event is settled once for each sink, unless a crash or an unknown outcome explains a
// repetition.
func (o *oracle) checkDuplicates() {
	for _, out := range o.outcomes {
		for j := 1; j < len(out.done); j++ {
			a, b := out.done[j-1], out.done[j]
			if a.deadLetter && b.deadLetter && out.storedCount <= 1 {
				continue // sent twice and stored once
			}
			o.require(o.isExplained(out, a, b), "%s (event %d, %s) was settled by %s at %s and again by %s at %s", out, out.of.n, kinds[out.kind], a, a.at, b, b.at)
		}
	}
}

// checkCrashes: after a crash, the repeated records of a partition are at most those since the member's
// last commit plus those that it had in flight.
func (o *oracle) checkCrashes() {
	for k, e := range o.entries {
		if e.kind != faultPeriod || e.maxInFlight == 0 {
			continue
		}
		requests := map[int32]int{}
		for i, c := range o.entries[:k] {
			if c.kind == commitRequested && strings.HasPrefix(c.text, "by "+e.member+"-") && o.wasCommitted(c, i, k) {
				requests[c.part] = o.firstRequestOf(c, i)
			}
		}
		again := map[int32]int{}
		for _, r := range o.records {
			if slices.ContainsFunc(r.outcomes, func(out *outcome) bool {
				return out.settledBeforeCommit(e.member, requests[r.position.part], k) && out.settledAfter(k)
			}) {
				again[r.position.part]++
			}
		}
		for part, n := range again {
			o.require(n <= e.maxInFlight, "%s crashed at %s, and %d events of partition %d were repeated that it had settled before its last commit, though it had at most %d in flight",
				e.member, e.at, n, part, e.maxInFlight)
		}
	}
}

// firstRequestOf returns the index at which a commit was first requested. A commit whose connection
// breaks is sent again unchanged, so it does not include what was settled in between.
func (o *oracle) firstRequestOf(c entry, i int) int {
	return slices.IndexFunc(o.entries[:i+1], func(e entry) bool {
		return e.kind == commitRequested && e.part == c.part && e.offset == c.offset && e.text == c.text && e.metadata == c.metadata
	})
}

// wasCommitted reports whether a commit was stored between two indexes: the cluster may have refused it.
func (o *oracle) wasCommitted(c entry, from, to int) bool {
	return slices.ContainsFunc(o.entries[from:to], func(e entry) bool {
		return e.kind == committed && e.part == c.part && e.offset == c.offset
	})
}

// settledAfter reports whether the event was settled after index i.
func (out *outcome) settledAfter(i int) bool {
	return slices.ContainsFunc(out.done, func(s settlement) bool { return s.i > i })
}

// settledBeforeCommit reports whether the member settled the event last before its crash, and before its last
// commit.
func (out *outcome) settledBeforeCommit(member string, commit, crash int) bool {
	for _, s := range slices.Backward(out.done) {
		if s.i < crash {
			return s.member == member && s.i < commit && !s.answerLost
		}
	}
	return false
}

// checkFinalEvents: the events after the last fault are delivered on every partition, by the last version of the flow file.
func (o *oracle) checkFinalEvents() {
	for _, out := range o.outcomes {
		o.require(!out.of.final || out.first >= 0 && strings.HasSuffix(o.entries[out.first].text, fmt.Sprintf(" v%d", lastVersion)),
			"%s, sent after the last fault, was not delivered by the last version of the flow", out)
	}
}
