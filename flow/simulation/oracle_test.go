//go:build synctests

package simulation

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
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

// place is where a record stands.
type place struct {
	part   int32
	offset int64
}

func (p place) String() string { return fmt.Sprintf("%d/%d", p.part, p.offset) }

// settling is one time that an event was settled: delivered or buried.
type settling struct {
	i          int // in the history
	at         time.Duration
	who        string
	unanswered bool
	letter     bool
}

// fate is all that became of one event.
type fate struct {
	*event
	place  place
	there  bool // it was stored
	done   []settling
	first  int // of done, deliveries only: where in the history; -1: none
	stored int // dead letters in the queue
	gone   int // lost to retention and reported so: where in the history; -1: no
}

// oracle judges one history.
type oracle struct {
	w       *world
	entries []entry
	fates   []*fate
	at      map[place]*fate
	excuses []entry
	// forgotten are members, and when, whose JoinGroup kfake did not answer.
	forgotten []entry
	// overtaken are members, and when, that may go on with calls which were
	// under way when a trouble took their partitions away.
	overtaken []entry
	// when[p][c] is where in the history all below c of partition p was settled.
	when   map[int32][]int
	broken []string
}

// judge returns the rules that were broken.
func judge(w *world, entries []entry) []string {
	o := &oracle{w: w, entries: entries, at: map[place]*fate{}}
	o.collect()
	o.letters()
	o.account()
	o.order()
	o.commits()
	o.twice()
	o.crashes()
	o.last()
	return o.broken
}

func (o *oracle) rule(ok bool, format string, args ...any) {
	if !ok {
		o.broken = append(o.broken, fmt.Sprintf(format, args...))
	}
}

// collect reads the history, events first.
func (o *oracle) collect() {
	for _, e := range o.w.events {
		o.fates = append(o.fates, &fate{event: e, first: -1, gone: -1})
	}
	for _, e := range o.entries {
		switch e.what {
		case produced:
			f := o.fates[e.n]
			f.place, f.there = place{e.part, e.offset}, true
			o.at[f.place] = f
		case excuse:
			o.excuses = append(o.excuses, e)
		default:
			o.unanswered(e)
			o.lost(e)
		}
	}
	for i, e := range o.entries {
		switch e.what {
		case delivered:
			o.delivery(i, e)
		case unanswered:
			done := o.fates[e.n].done
			for j := range slices.Backward(done) {
				if !done[j].letter && done[j].who == e.who {
					done[j].unanswered = true
					break
				}
			}
		case lettered:
			if f := o.at[place{e.part, e.offset}]; f != nil {
				f.done = append(f.done, settling{i: i, at: e.at, letter: true})
			}
		case gapped:
			o.gap(i, e)
		}
	}
}

// unanswered notes a JoinGroup that was not answered for as long as a member
// waits for one. kfake gave the member's partitions to others and did not tell
// it; a cluster would have let it in, or told it by an error, at once.
func (o *oracle) unanswered(e entry) {
	if strings.Contains(e.text, "group manage loop errored") && strings.Contains(e.text, "i/o timeout") {
		o.forgotten = append(o.forgotten, entry{who: e.who, at: e.at - 2*mostJoin, until: e.at})
	}
}

// lost notes that a trouble cost a member its partitions. Calls under way may go
// on for the time to drain, beside those of whoever has the partitions by then.
func (o *oracle) lost(e entry) {
	if !strings.Contains(e.text, "the group went on without this member") {
		return
	}
	if slices.ContainsFunc(o.excuses, func(why entry) bool {
		return why.at <= e.at && e.at <= why.until && (why.who == "" || why.who == e.who)
	}) {
		o.overtaken = append(o.overtaken, entry{who: e.who, at: e.at, until: e.at + drain})
	}
}

func (o *oracle) delivery(i int, e entry) {
	f := o.fates[e.n]
	id := fmt.Sprintf("%s-%d-%d", topic, f.place.part, f.place.offset)
	o.rule(f.there && strings.Contains(e.text, " "+id+" "), "event %d (%s) was delivered as %q, not %s", e.n, f.place, e.text, id)
	f.done = append(f.done, settling{i: i, at: e.at, who: e.who})
	if f.first < 0 {
		f.first = i
	}
}

// gap accounts for records that the cluster deleted and fiso-flow missed.
func (o *oracle) gap(i int, e entry) {
	below := int64(0)
	for _, t := range o.entries[:i] {
		if t.what == trimmed && t.part == e.part {
			below = max(below, t.offset)
		}
	}
	o.rule(e.upTo <= below && e.offset < e.upTo, "a gap of partition %d from %d to %d was reported, though only what is below %d was deleted", e.part, e.offset, e.upTo, below)
	for off := e.offset; off < min(e.upTo, below); off++ {
		if f := o.at[place{e.part, off}]; f != nil && f.gone < 0 {
			f.gone = i
		}
	}
}

// letters compares the dead letter queue with what was sent to it.
func (o *oracle) letters() {
	for _, s := range o.w.stored {
		at := place{s.part, s.offset}
		f := o.at[at]
		if f == nil {
			o.rule(false, "there is a dead letter of %s, where no event stands", at)
			continue
		}
		f.stored++
		o.rule(s.value == string(f.value()) && s.key == f.key, "the dead letter of %s holds %q %q", at, s.key, s.value)
		want := map[kind]string{malformed: "DECODE_FAILED", bare: "TRANSFORM_FAILED"}[f.kind]
		switch {
		case f.kind == dropped:
			o.rule(false, "%s is filtered, and stands in the dead letter queue", at)
		case want != "":
			o.rule(s.code == want, "the dead letter of %s (%s) says %s", at, kinds[f.kind], s.code)
		default:
			o.rule(strings.HasPrefix(s.code, "SINK_"), "the dead letter of %s (%s) says %s", at, kinds[f.kind], s.code)
		}
	}
	for _, f := range o.fates {
		if f.stored == 0 { // what was sent was refused
			f.done = slices.DeleteFunc(f.done, func(s settling) bool { return s.letter })
		}
	}
}

// account: accepted = delivered + filtered + dead-lettered + lost to
// retention, and said so + still uncommitted.
func (o *oracle) account() {
	last := map[int32]int64{}
	for _, e := range o.entries {
		if e.what == committed {
			last[e.part] = e.offset
		}
	}
	for _, f := range o.fates {
		if !f.there {
			continue
		}
		if f.kind == dropped || f.kind.buried() {
			o.rule(f.first < 0, "%s (%s) was delivered", f.place, kinds[f.kind])
		}
		o.rule(f.kind == dropped || f.first >= 0 || f.stored > 0 || f.gone >= 0 || f.place.offset >= last[f.place.part],
			"LOST: %s (event %d, %s) was neither delivered, filtered nor dead-lettered, and %d is committed", f.place, f.n, kinds[f.kind], last[f.place.part])
	}
}

// order: first deliveries of a lane follow their offsets.
func (o *oracle) order() {
	latest := map[string]*fate{}
	for _, f := range o.inOrder() {
		lane := f.lane(o.w.plan.ordering)
		if lane == "" || f.first < 0 {
			continue
		}
		before := latest[lane]
		if before == nil || f.first > before.first {
			latest[lane] = f
			continue
		}
		// One that was buried before, and came again after a crash, was
		// settled in its turn.
		o.rule(before.stored > 0 || o.buriedFirst(before) || before.lateAndGone(), "%s was delivered before %s, of the same lane %s", f.place, before.place, lane)
	}
}

// lateAndGone: a call of an assignment that was over was accepted late, and who
// took the partition over could not send the event before: the cluster had
// deleted it by then.
func (f *fate) lateAndGone() bool { return f.gone >= 0 && f.first > f.gone }

func (o *oracle) buriedFirst(f *fate) bool { return len(f.done) > 0 && f.done[0].letter }

func (o *oracle) inOrder() []*fate {
	all := slices.DeleteFunc(slices.Clone(o.fates), func(f *fate) bool { return !f.there })
	slices.SortFunc(all, func(a, b *fate) int {
		return cmp.Or(cmp.Compare(a.place.part, b.place.part), cmp.Compare(a.place.offset, b.place.offset))
	})
	return all
}

// settledAt is where in the history the event was settled; false: nowhere.
func (f *fate) settledAt() (int, bool) {
	switch {
	case f.kind == dropped:
		return 0, true
	case len(f.done) > 0 && (f.gone < 0 || f.done[0].i < f.gone):
		return f.done[0].i, true
	case f.gone >= 0:
		return f.gone, true
	}
	return 0, false
}

// commits: none, by anyone, covers an unsettled event; and what is committed
// never goes down.
func (o *oracle) commits() {
	when := map[int32][]int{}
	never := len(o.entries) + 1
	for _, f := range o.inOrder() {
		w := when[f.place.part]
		if w == nil {
			w = []int{0}
		}
		for int64(len(w)) <= f.place.offset { // an offset without an event
			w = append(w, w[len(w)-1])
		}
		at, ok := f.settledAt()
		if !ok {
			at = never
		}
		when[f.place.part] = append(w, max(at, w[len(w)-1]))
	}
	o.when = when
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

// twice: an event is settled once, save where a crash or an outcome that could
// not be known explains it.
func (o *oracle) twice() {
	for _, f := range o.fates {
		letters := 0
		for j := 1; j < len(f.done); j++ {
			a, b := f.done[j-1], f.done[j]
			if a.letter && b.letter {
				letters++
			}
			if a.letter && b.letter && f.stored <= 1 {
				continue // sent twice, and stored once
			}
			o.rule(o.excused(f, a, b), "%s (event %d, %s) was settled by %s at %s and again by %s at %s", f.place, f.n, kinds[f.kind], a, a.at, b, b.at)
		}
	}
}

func (s settling) String() string {
	if s.letter {
		return "a dead letter"
	}
	return s.who
}

// excused tells whether there is a reason that an event was settled by a, and
// by b once more. There are four, and no other.
func (o *oracle) excused(f *fate, a, b settling) bool {
	return unknown(a, b) || o.onItsWay(f, a) || o.uncommitted(a, b) || o.late(a) || o.late(b)
}

// late: it may be that of a call under way when the partition was lost.
func (o *oracle) late(s settling) bool {
	return slices.ContainsFunc(o.overtaken, func(e entry) bool { return !s.letter && e.who == s.who && e.at <= s.at && s.at <= e.until })
}

// onItsWay: the answer came in the very moment in which the time to drain was
// over, and the member made its last commit of the partition without it.
func (o *oracle) onItsWay(f *fate, a settling) bool {
	for _, e := range slices.Backward(o.entries) {
		if e.what == asked && e.part == f.place.part && strings.HasPrefix(e.text, "by "+a.who+"-") {
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

// crashes: beside what was done since its last commit, no more of a partition
// comes again after a crash than the member had in flight.
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
		for _, f := range o.fates {
			if f.before(e.who, asks[f.place.part], k) && f.again(k) {
				again[f.place.part]++
			}
		}
		for part, n := range again {
			o.rule(n <= e.most, "%s crashed at %s, and %d events of partition %d came again that it had done before its last commit, though it had no more than %d in flight", e.who, e.at, n, part, e.most)
		}
	}
}

// firstAsk is where in the history a commit was first asked for: one whose
// connection is cut is sent again as it was, and knows nothing of what was done
// in between.
func (o *oracle) firstAsk(c entry, i int) int {
	return slices.IndexFunc(o.entries[:i+1], func(e entry) bool {
		return e.what == asked && e.part == c.part && e.offset == c.offset && e.text == c.text && e.note == c.note
	})
}

// seen reports whether a commit was stored before a point: the cluster may have
// refused it.
func (o *oracle) seen(c entry, from, to int) bool {
	return slices.ContainsFunc(o.entries[from:to], func(e entry) bool {
		return e.what == committed && e.part == c.part && e.offset == c.offset
	})
}

// again reports whether the event was settled after a point.
func (f *fate) again(i int) bool {
	return slices.ContainsFunc(f.done, func(s settling) bool { return s.i > i })
}

// before reports whether the member was the last to settle the event when it
// crashed, and had done so before its last commit.
func (f *fate) before(who string, commit, crash int) bool {
	for _, s := range slices.Backward(f.done) {
		if s.i < crash {
			return s.who == who && s.i < commit && !s.unanswered
		}
	}
	return false
}

// last: what comes after all faults is delivered on every partition, by the
// last version of the flow file.
func (o *oracle) last() {
	for _, f := range o.fates[len(o.fates)-epilogue:] {
		o.rule(f.first >= 0 && strings.HasSuffix(o.entries[f.first].text, fmt.Sprintf(" v%d", lastVersion)),
			"%s, sent after the last fault, was not delivered by the last version of the flow", f.place)
	}
}

var placeName = regexp.MustCompile(`\b(\d)/(\d+)\b`)

// about tells which lines of a history belong to the places that broken rules
// name, and to the great events.
func (w *world) about(entries []entry, broken []string) func(entry) bool {
	named := map[place]bool{}
	for _, b := range broken {
		for _, m := range placeName.FindAllStringSubmatch(b, -1) {
			p, _ := strconv.Atoi(m[1])               // digits
			off, _ := strconv.ParseInt(m[2], 10, 64) // digits
			named[place{int32(p), off}] = true       //nolint:gosec // G115: one digit
			if len(named) >= 5 {
				break
			}
		}
	}
	events := map[int]bool{}
	for _, e := range entries {
		if e.what == produced && named[place{e.part, e.offset}] {
			events[e.n] = true
		}
	}
	return func(e entry) bool {
		switch e.what {
		case produced, delivered, unanswered, refused:
			return events[e.n]
		case lettered:
			return named[place{e.part, e.offset}]
		case asked, committed:
			return named[place{e.part, e.offset - 1}]
		}
		return true
	}
}
