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

// place is the position of a record.
type place struct {
	part   int32
	offset int64
}

func (p place) String() string { return fmt.Sprintf("%d/%d", p.part, p.offset) }

// settling is one delivery or dead letter of an event.
type settling struct {
	i          int // index in the history
	at         time.Duration
	who        string
	unanswered bool
	letter     bool
}

// record is one record of the topic and everything that happened to it.
type record struct {
	*event
	place place
	there bool // the record was stored
	fates []*fate
	gone  int // index at which it was reported lost to retention; -1: not lost
	// optional: it may have been settled under a flow file without copySink.
	optional bool
}

// fate is everything that happened to one unit of a record for one sink.
type fate struct {
	*unit
	of     *record
	done   []settling
	first  int // index of the first delivery in done; -1: none
	stored int // number of dead letters in the topic
}

// String names the event, and its sink unless that is mainSink.
func (f *fate) String() string {
	s := f.of.place.String()
	if f.of.pieces > 0 && f.sink != "" {
		s += fmt.Sprint("#", f.piece)
	}
	if f.sink == copySink {
		s += " to " + copySink
	}
	return s
}

// optional reports whether no sink must get the unit, because copySink was not in the file.
func (f *fate) optional() bool { return f.sink == copySink && f.of.optional }

// fate returns the fate of the record for a sink, or nil if it is not for that sink. A record that
// becomes no event has one fate for all sinks.
func (r *record) fate(sink string, piece int) *fate {
	for _, f := range r.fates {
		if f.unit.sink == "" || f.unit.sink == sink && f.unit.piece == piece {
			return f
		}
	}
	return nil
}

// oracle judges one history.
type oracle struct {
	w       *world
	entries []entry
	records []*record
	fates   []*fate // of all records
	at      map[place]*record
	excuses []entry
	// forgotten are members to which kfake did not answer a JoinGroup, and when.
	forgotten []entry
	// overtaken are members that may continue calls in flight after a fault took their partitions,
	// and when.
	overtaken []entry
	broken    []string
}

// judge returns the broken rules.
func judge(w *world, entries []entry) []string {
	o := &oracle{w: w, entries: entries, at: map[place]*record{}}
	o.collect()
	o.letters()
	o.options()
	o.account()
	o.order()
	o.commits()
	o.twice()
	o.crashes()
	o.removed()
	o.othersDeliver()
	o.last()
	return o.broken
}

func (o *oracle) rule(ok bool, format string, args ...any) {
	if !ok {
		o.broken = append(o.broken, fmt.Sprintf(format, args...))
	}
}

// collect reads the history. It reads the events first.
func (o *oracle) collect() {
	for _, e := range o.w.events {
		r := &record{event: e, gone: -1}
		for _, u := range e.units {
			f := &fate{unit: u, of: r, first: -1}
			r.fates = append(r.fates, f)
			o.fates = append(o.fates, f)
		}
		o.records = append(o.records, r)
	}
	for _, e := range o.entries {
		switch e.what {
		case produced:
			r := o.records[e.n]
			r.place, r.there = place{e.part, e.offset}, true
			o.at[r.place] = r
		case excuse:
			o.excuses = append(o.excuses, e)
		default:
			o.unanswered(e)
			o.lost(e)
		}
	}
	for i, e := range o.entries {
		switch e.what {
		case delivered, refused:
			o.call(i, e)
		case unanswered:
			o.noAnswer(e)
		case lettered:
			if r := o.at[place{e.part, e.offset}]; r != nil && r.fate(e.sink, e.piece) != nil {
				f := r.fate(e.sink, e.piece)
				f.done = append(f.done, settling{i: i, at: e.at, letter: true})
			}
		case gapped:
			o.gap(i, e)
		}
	}
}

// unanswered records a JoinGroup without an answer for as long as a member waits. kfake gave the
// member's partitions to others without telling it. A real cluster would admit the member or
// answer with an error at once.
func (o *oracle) unanswered(e entry) {
	if strings.Contains(e.text, "group manage loop errored") && strings.Contains(e.text, "i/o timeout") {
		o.forgotten = append(o.forgotten, entry{who: e.who, at: e.at - 2*mostJoin, until: e.at})
	}
}

// lost records that a fault cost a member its partitions. Its calls in flight may continue for the
// drain time, beside those of the new owner.
func (o *oracle) lost(e entry) {
	if !lost(e) {
		return
	}
	if slices.ContainsFunc(o.excuses, func(why entry) bool {
		return why.at <= e.at && e.at <= why.until && (why.who == "" || why.who == e.who)
	}) {
		o.overtaken = append(o.overtaken, entry{who: e.who, at: e.at, until: e.at + drain})
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
		r = o.at[place{int32(part), off}]        //nolint:gosec // G115: one digit
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

// call records a request to the service of a sink.
func (o *oracle) call(i int, e entry) {
	r, known := o.recordOf(e)
	o.rule(known && r.there, "event %d (%s) was sent as %q, not %s-%d-%d", e.n, r.place, e.text, topic, r.place.part, r.place.offset)
	f := r.fate(e.sink, e.piece)
	if o.rule(f != nil, "%s (event %d) was sent to %s, which it is not for", r.place, e.n, e.sink); f == nil || e.what == refused {
		return
	}
	f.done = append(f.done, settling{i: i, at: e.at, who: e.who})
	if f.first < 0 {
		f.first = i
	}
}

// noAnswer records that the answer to a call was lost.
func (o *oracle) noAnswer(e entry) {
	r, _ := o.recordOf(e)
	f := r.fate(e.sink, e.piece)
	if f == nil {
		return
	}
	for j, s := range slices.Backward(f.done) {
		if !s.letter && s.who == e.who {
			f.done[j].unanswered = true
			return
		}
	}
}

// gap records which events the cluster deleted and fiso-flow missed.
func (o *oracle) gap(i int, e entry) {
	below := int64(0)
	for _, t := range o.entries[:i] {
		if t.what == trimmed && t.part == e.part {
			below = max(below, t.offset)
		}
	}
	o.rule(e.upTo <= below && e.offset < e.upTo, "a gap of partition %d from %d to %d was reported, though only what is below %d was deleted", e.part, e.offset, e.upTo, below)
	for off := e.offset; off < min(e.upTo, below); off++ {
		if r := o.at[place{e.part, off}]; r != nil && r.gone < 0 {
			r.gone = i
		}
	}
}

// inOrder returns the stored records by place.
func (o *oracle) inOrder() []*record {
	all := slices.DeleteFunc(slices.Clone(o.records), func(r *record) bool { return !r.there })
	slices.SortFunc(all, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.place.part, b.place.part), cmp.Compare(a.place.offset, b.place.offset))
	})
	return all
}
