//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// span is a time in which a flow file without copySink may be in force.
type span struct{ from, until time.Duration }

// memberOf returns the name of a member without the number of its life.
func memberOf(who string) string {
	name, _, _ := strings.Cut(who, ".")
	return name
}

// options finds the records that may have been settled under a flow file without copySink: by a
// member that had such a file after mainSink was done and before the first commit.
func (o *oracle) options() {
	without := o.without()
	if len(without) == 0 {
		return
	}
	for _, r := range o.records {
		until := o.firstCommit(r)
		for _, f := range r.fates {
			r.optional = r.optional || f.sink == mainSink && slices.ContainsFunc(f.done, func(s settling) bool {
				for name, spans := range without {
					if (s.letter || memberOf(s.who) == name) && slices.ContainsFunc(spans, func(x span) bool { return x.from <= until && s.at <= x.until }) {
						return true
					}
				}
				return false
			})
		}
	}
}

// without returns the times in which a member's flow file may lack copySink. Calls of a replaced
// version may continue for a while.
func (o *oracle) without() map[string][]span {
	spans := map[string][]span{}
	for _, e := range o.entries {
		if e.what != filed {
			continue
		}
		name := memberOf(e.who)
		all := spans[name]
		if n := len(all); n > 0 && all[n-1].until == forEver {
			all[n-1].until = e.at + mostDrain
		}
		if e.without {
			spans[name] = append(all, span{e.at, forEver})
		}
	}
	return spans
}

const forEver = time.Duration(1<<63 - 1)

// firstCommit returns when a commit first covered the record.
func (o *oracle) firstCommit(r *record) time.Duration {
	for _, e := range o.entries {
		if e.what == asked && e.part == r.place.part && e.offset > r.place.offset {
			return e.at
		}
	}
	return forEver
}

// removed: a version without copySink sends nothing to it.
func (o *oracle) removed() {
	without := map[string]bool{}
	for _, e := range o.entries {
		if e.what == filed && e.without {
			without[fmt.Sprintf("%s v%d", memberOf(e.who), e.n)] = true
		}
	}
	if len(without) == 0 {
		return
	}
	for _, e := range o.entries {
		if e.what == delivered && e.sink == copySink {
			version := e.text[strings.LastIndex(e.text, " ")+1:]
			o.rule(!without[memberOf(e.who)+" "+version], "event %d was sent to %s by %s %s, whose file is without it", e.n, copySink, e.who, version)
		}
	}
}

// othersDeliver: a sink that is down does not stop other sinks while there is room. Without other
// faults, events that are sent meanwhile are delivered to the other sinks before the sink is up
// again. A partition that changes owners waits for hanging calls.
func (o *oracle) othersDeliver() {
	from := slices.IndexFunc(o.entries, func(e entry) bool { return e.what == away })
	until := slices.IndexFunc(o.entries, func(e entry) bool { return e.what == back })
	for _, f := range o.fates {
		if f.of.away == "" || f.of.away == f.sink || o.moved(f.of.place.part, settling{at: o.entries[from].at}, settling{at: o.entries[until].at}) {
			continue
		}
		happened.count("answer 2xx expected while only the other sink is away")
		o.rule(f.first >= 0 && f.first < until, "%s was not delivered while %s was away", f, f.of.away)
	}
}
