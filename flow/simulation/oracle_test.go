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

// position is the position of a record.
type position struct {
	part   int32
	offset int64
}

func (p position) String() string { return fmt.Sprintf("%d/%d", p.part, p.offset) }

// settlement is one delivery or dead letter of an event.
type settlement struct {
	i          int // index in the history
	at         time.Duration
	member     string
	answerLost bool
	deadLetter bool
}

// record is one record of the topic and everything that happened to it.
type record struct {
	*event
	position position
	stored   bool
	outcomes []*outcome
	gapAt    int // index at which it was reported lost to retention; -1: not lost
	// optional: it may have been settled under a flow file without copySink.
	optional bool
}

// outcome is everything that happened to one expected delivery of a record.
type outcome struct {
	*expectedDelivery
	of          *record
	done        []settlement
	first       int // index in the history of the first delivery; -1: none
	storedCount int // number of its dead letters in the topic
}

// String names the event, and its sink unless that is mainSink.
func (out *outcome) String() string {
	s := out.of.position.String()
	if out.of.pieces > 0 && out.sink != "" {
		s += fmt.Sprint("#", out.piece)
	}
	if out.sink == copySink {
		s += " to " + copySink
	}
	return s
}

// optional reports whether no sink must get it, because copySink was not in the file.
func (out *outcome) optional() bool { return out.sink == copySink && out.of.optional }

// outcome returns the outcome of the record for a sink, or nil if it is not for that sink. A record that
// becomes no event has one outcome for all sinks.
func (r *record) outcome(sink string, piece int) *outcome {
	for _, out := range r.outcomes {
		if out.expectedDelivery.sink == "" || out.expectedDelivery.sink == sink && out.expectedDelivery.piece == piece {
			return out
		}
	}
	return nil
}

// oracle judges one history.
type oracle struct {
	sim          *simulation
	entries      []entry
	records      []*record
	outcomes     []*outcome // of all records
	at           map[position]*record
	faultPeriods []entry
	// unansweredJoins are members to which kfake did not answer a JoinGroup, and when.
	unansweredJoins []entry
	// lostPartitions are members that may continue calls in flight after a fault took their partitions,
	// and when.
	lostPartitions []entry
	violations     []string
}

// judge returns the broken rules.
func judge(sim *simulation, entries []entry) []string {
	o := &oracle{sim: sim, entries: entries, at: map[position]*record{}}
	o.readHistory()
	o.checkDeadLetters()
	o.findOptional()
	o.checkAccounting()
	o.checkOrder()
	o.checkCommits()
	o.checkDuplicates()
	o.checkCrashes()
	o.checkRemovedSink()
	o.checkOtherSinkDelivers()
	o.checkFinalEvents()
	return o.violations
}

func (o *oracle) require(ok bool, format string, args ...any) {
	if !ok {
		o.violations = append(o.violations, fmt.Sprintf(format, args...))
	}
}

// readHistory reads the history. It reads the events first.
func (o *oracle) readHistory() {
	for _, e := range o.sim.events {
		r := &record{event: e, gapAt: -1}
		for _, u := range e.expected {
			out := &outcome{expectedDelivery: u, of: r, first: -1}
			r.outcomes = append(r.outcomes, out)
			o.outcomes = append(o.outcomes, out)
		}
		o.records = append(o.records, r)
	}
	for _, e := range o.entries {
		switch e.kind {
		case produced:
			r := o.records[e.n]
			r.position, r.stored = position{e.part, e.offset}, true
			o.at[r.position] = r
		case faultPeriod:
			o.faultPeriods = append(o.faultPeriods, e)
		default:
			o.recordUnansweredJoin(e)
		}
	}
	for i, e := range o.entries {
		o.recordLostPartitions(e)
		switch e.kind {
		case delivered, refused:
			o.recordCall(i, e)
		case answerLost:
			o.recordLostAnswer(e)
		case deadLettered:
			if r := o.at[position{e.part, e.offset}]; r != nil && r.outcome(e.sink, e.piece) != nil {
				out := r.outcome(e.sink, e.piece)
				out.done = append(out.done, settlement{i: i, at: e.at, deadLetter: true})
			}
		case gapReported:
			o.recordGap(i, e)
		}
	}
}

// recordUnansweredJoin records a JoinGroup without an answer for as long as a member waits. kfake gave the
// member's partitions to others without telling it. A real cluster would admit the member or
// answer with an error at once.
func (o *oracle) recordUnansweredJoin(e entry) {
	if strings.Contains(e.text, "group manage loop errored") && strings.Contains(e.text, "i/o timeout") {
		o.unansweredJoins = append(o.unansweredJoins, entry{member: e.member, at: e.at - 2*maxJoinWait, until: e.at})
	}
}

// recordLostPartitions records that a fault, or a JoinGroup without an answer, cost a member its partitions.
// Its calls in flight may continue for the drain time, beside those of the new owner.
func (o *oracle) recordLostPartitions(e entry) {
	if !losesPartitions(e) {
		return
	}
	isCause := func(why entry) bool {
		return why.at <= e.at && e.at <= why.until && (why.member == "" || why.member == e.member)
	}
	if slices.ContainsFunc(o.faultPeriods, isCause) || slices.ContainsFunc(o.unansweredJoins, isCause) {
		o.lostPartitions = append(o.lostPartitions, entry{member: e.member, at: e.at, until: e.at + drain})
	}
}

var eventID = regexp.MustCompile(`\b` + topic + `-(\d)-(\d+)(?:#(\d))?`)

// recordOf finds the record of a call by the id of its event. A dead letter that was put back has
// the data of the original event and a new id. known is false if no record has this id and this
// data.
func (o *oracle) recordOf(e entry) (r *record, known bool) {
	if m := eventID.FindStringSubmatch(e.text); m != nil {
		part, _ := strconv.Atoi(m[1])            // digits
		off, _ := strconv.ParseInt(m[2], 10, 64) // digits
		r = o.at[position{int32(part), off}]     //nolint:gosec // G115: one digit
		if r != nil && r.number() == e.n && m[3] == suffix(r, e.piece) {
			return r, true
		}
	}
	return o.records[e.n], false
}

// suffix returns the part of an id from #.
func suffix(r *record, piece int) string {
	if r.pieces == 0 {
		return ""
	}
	return strconv.Itoa(piece)
}

// recordCall records a request to the service of a sink.
func (o *oracle) recordCall(i int, e entry) {
	r, known := o.recordOf(e)
	o.require(known && r.stored, "event %d (%s) was sent as %q, not %s-%d-%d", e.n, r.position, e.text, topic, r.position.part, r.position.offset)
	out := r.outcome(e.sink, e.piece)
	if o.require(out != nil, "%s (event %d) was sent to %s, which it is not for", r.position, e.n, e.sink); out == nil || e.kind == refused {
		return
	}
	out.done = append(out.done, settlement{i: i, at: e.at, member: e.member})
	if out.first < 0 {
		out.first = i
	}
}

// recordLostAnswer records that the answer to a call was lost.
func (o *oracle) recordLostAnswer(e entry) {
	r, _ := o.recordOf(e)
	out := r.outcome(e.sink, e.piece)
	if out == nil {
		return
	}
	for j, s := range slices.Backward(out.done) {
		if !s.deadLetter && s.member == e.member {
			out.done[j].answerLost = true
			return
		}
	}
}

// recordGap records which events the cluster deleted and fiso-flow missed.
func (o *oracle) recordGap(i int, e entry) {
	below := int64(0)
	for _, t := range o.entries[:i] {
		if t.kind == recordsDeleted && t.part == e.part {
			below = max(below, t.offset)
		}
	}
	o.require(e.upTo <= below && e.offset < e.upTo, "a gap of partition %d from %d to %d was reported, though only what is below %d was deleted", e.part,
		e.offset, e.upTo, below)
	for off := e.offset; off < min(e.upTo, below); off++ {
		if r := o.at[position{e.part, off}]; r != nil && r.gapAt < 0 {
			r.gapAt = i
		}
	}
}

// storedRecords returns the stored records by position.
func (o *oracle) storedRecords() []*record {
	all := slices.DeleteFunc(slices.Clone(o.records), func(r *record) bool { return !r.stored })
	slices.SortFunc(all, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.position.part, b.position.part), cmp.Compare(a.position.offset, b.position.offset))
	})
	return all
}
