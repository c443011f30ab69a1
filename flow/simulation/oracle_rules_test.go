//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
)

// letters: the dead letter topics contain exactly the letters that were sent to them.
func (o *oracle) letters() {
	for _, s := range o.w.stored {
		at := place{s.part, s.offset}
		r := o.at[at]
		if r == nil {
			o.rule(false, "there is a dead letter of %s, where no event stands", at)
			continue
		}
		f := r.fate(s.sink, s.piece)
		if f == nil {
			o.rule(false, "there is a dead letter of %s, piece %d, for the sink %q, which it is not for", at, s.piece, s.sink)
			continue
		}
		f.stored++
		o.letter(f, s)
	}
	for _, f := range o.fates {
		if f.stored == 0 { // the letter was refused
			f.done = slices.DeleteFunc(f.done, func(s settling) bool { return s.letter })
		}
	}
}

func (o *oracle) letter(f *fate, s stored) {
	o.rule(s.value == string(f.of.value()) && s.key == f.of.key, "the dead letter of %s holds %q %q", f, s.key, s.value)
	o.rule(s.sink == f.sink, "the dead letter of %s (%s) names the sink %q", f, kinds[f.kind], s.sink)
	o.rule(s.topic == o.w.plan.lettersOf(f.sink), "the dead letter of %s stands in %s", f, s.topic)
	want := map[kind]string{malformed: "DECODE_FAILED", bare: "TRANSFORM_FAILED"}[f.kind]
	switch {
	case f.kind == dropped:
		o.rule(false, "%s is filtered, and stands in the dead letter queue", f)
	case want != "":
		o.rule(s.code == want, "the dead letter of %s (%s) says %s", f, kinds[f.kind], s.code)
	default:
		o.rule(strings.HasPrefix(s.code, "SINK_"), "the dead letter of %s (%s) says %s", f, kinds[f.kind], s.code)
	}
}

// account: for each sink, accepted = delivered + filtered + dead-lettered + lost to retention and
// reported + still uncommitted.
func (o *oracle) account() {
	last := map[int32]int64{}
	for _, e := range o.entries {
		if e.what == committed {
			last[e.part] = e.offset
		}
	}
	for _, f := range o.fates {
		if !f.of.there {
			continue
		}
		if f.kind == dropped || f.kind.buried() {
			o.rule(f.first < 0, "%s (%s) was delivered", f, kinds[f.kind])
		}
		p := f.of.place
		o.rule(f.kind == dropped || f.first >= 0 || f.stored > 0 || f.of.gone >= 0 || f.optional() || p.offset >= last[p.part],
			"LOST: %s (event %d, %s) was neither delivered, filtered nor dead-lettered, and %d is committed", f, f.of.n, kinds[f.kind], last[p.part])
	}
}

// order: first deliveries of a lane to a sink are in offset order.
func (o *oracle) order() {
	latest := map[string]*fate{}
	for _, r := range o.inOrder() {
		for _, f := range r.fates {
			lane := r.lane(o.w.plan.ordering)
			if lane == "" || f.first < 0 {
				continue
			}
			lane += " " + f.sink
			before := latest[lane]
			if before == nil || f.first > before.first {
				latest[lane] = f
				continue
			}
			// An event that was a dead letter before a crash and came again was settled in order.
			o.rule(before.stored > 0 || before.buriedFirst() || before.lateAndGone() || before.optional(), "%s was delivered before %s, of the same lane %s", f, before, lane)
		}
	}
}

// lateAndGone reports whether a late call of a lost assignment was accepted, and the new owner of
// the partition could not send the earlier event because the cluster had deleted it.
func (f *fate) lateAndGone() bool { return f.of.gone >= 0 && f.first > f.of.gone }

func (f *fate) buriedFirst() bool { return len(f.done) > 0 && f.done[0].letter }

// settledAt returns the index at which the event was settled for its sink, or false.
func (f *fate) settledAt() (int, bool) {
	switch {
	case f.kind == dropped:
		return 0, true
	case len(f.done) > 0 && (f.of.gone < 0 || f.done[0].i < f.of.gone):
		return f.done[0].i, true
	case f.of.gone >= 0:
		return f.of.gone, true
	}
	return 0, f.optional()
}

// settledAt returns the index at which the record was settled: all its sinks were done.
func (r *record) settledAt() (at int, ok bool) {
	for _, f := range r.fates {
		i, ok := f.settledAt()
		if !ok {
			return 0, false
		}
		if !f.optional() {
			at = max(at, i)
		}
	}
	return at, true
}

// commits: no commit covers an unsettled event, and committed offsets never decrease.
func (o *oracle) commits() {
	when := map[int32][]int{} // when[p][c] is the index at which everything below offset c of partition p was settled
	never := len(o.entries) + 1
	for _, r := range o.inOrder() {
		w := when[r.place.part]
		if w == nil {
			w = []int{0}
		}
		for int64(len(w)) <= r.place.offset { // an offset without an event
			w = append(w, w[len(w)-1])
		}
		at, ok := r.settledAt()
		if !ok {
			at = never
		}
		when[r.place.part] = append(w, max(at, w[len(w)-1]))
	}
	seen := map[int32]int64{}
	for i, e := range o.entries {
		switch e.what {
		case asked:
			w := when[e.part]
			if e.offset == 0 {
				continue
			}
			o.rule(e.offset < int64(len(w)), "%s is committed, beyond the end of the log", place{e.part, e.offset})
			o.rule(e.offset >= int64(len(w)) || w[e.offset] < i, "at %s, %s was committed before all below it was settled", e.at, place{e.part, e.offset})
		case committed:
			o.rule(e.offset >= seen[e.part], "at %s, the commit of partition %d went down from %d to %d", e.at, e.part, seen[e.part], e.offset)
			seen[e.part] = max(seen[e.part], e.offset)
		}
	}
}

// twice: an event is settled once for each sink, unless a crash or an unknown outcome explains a
// repetition.
func (o *oracle) twice() {
	for _, f := range o.fates {
		for j := 1; j < len(f.done); j++ {
			a, b := f.done[j-1], f.done[j]
			if a.letter && b.letter && f.stored <= 1 {
				continue // sent twice and stored once
			}
			o.rule(o.excused(f, a, b), "%s (event %d, %s) was settled by %s at %s and again by %s at %s", f, f.of.n, kinds[f.kind], a, a.at, b, b.at)
		}
	}
}

// crashes: after a crash, the repeated records of a partition are at most those since the member's
// last commit plus those that it had in flight.
func (o *oracle) crashes() {
	for k, e := range o.entries {
		if e.what != excuse || e.most == 0 {
			continue
		}
		asks := map[int32]int{}
		for i, c := range o.entries[:k] {
			if c.what == asked && strings.HasPrefix(c.text, "by "+e.who+"-") && o.seen(c, i, k) {
				asks[c.part] = o.firstAsk(c, i)
			}
		}
		again := map[int32]int{}
		for _, r := range o.records {
			if slices.ContainsFunc(r.fates, func(f *fate) bool { return f.before(e.who, asks[r.place.part], k) && f.again(k) }) {
				again[r.place.part]++
			}
		}
		for part, n := range again {
			o.rule(n <= e.most, "%s crashed at %s, and %d events of partition %d came again that it had done before its last commit, though it had no more than %d in flight", e.who, e.at, n, part, e.most)
		}
	}
}

// firstAsk returns the index at which a commit was first requested. A commit whose connection
// breaks is sent again unchanged, so it does not include what was settled in between.
func (o *oracle) firstAsk(c entry, i int) int {
	return slices.IndexFunc(o.entries[:i+1], func(e entry) bool {
		return e.what == asked && e.part == c.part && e.offset == c.offset && e.text == c.text && e.note == c.note
	})
}

// seen reports whether a commit was stored between two indexes: the cluster may have refused it.
func (o *oracle) seen(c entry, from, to int) bool {
	return slices.ContainsFunc(o.entries[from:to], func(e entry) bool {
		return e.what == committed && e.part == c.part && e.offset == c.offset
	})
}

// again reports whether the event was settled after index i.
func (f *fate) again(i int) bool {
	return slices.ContainsFunc(f.done, func(s settling) bool { return s.i > i })
}

// before reports whether the member settled the event last before its crash, and before its last
// commit.
func (f *fate) before(who string, commit, crash int) bool {
	for _, s := range slices.Backward(f.done) {
		if s.i < crash {
			return s.who == who && s.i < commit && !s.unanswered
		}
	}
	return false
}

// last: the epilogue is delivered on every partition, by the last version of the flow file.
func (o *oracle) last() {
	for _, f := range o.fates {
		o.rule(!f.of.last || f.first >= 0 && strings.HasSuffix(o.entries[f.first].text, fmt.Sprintf(" v%d", lastVersion)),
			"%s, sent after the last fault, was not delivered by the last version of the flow", f)
	}
}
