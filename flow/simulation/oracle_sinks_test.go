//go:build synctests

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// timeSpan is a time in which a flow file without copySink may be in force.
type timeSpan struct{ from, until time.Duration }

// nameOf returns the name of a member without the number of its run.
func nameOf(member string) string {
	name, _, _ := strings.Cut(member, ".")
	return name
}

// findOptional finds the records that may have been settled under a flow file without copySink: by a
// member that had such a file after mainSink was done and before the first commit.
func (o *oracle) findOptional() {
	without := o.timesWithoutCopySink()
	if len(without) == 0 {
		return
	}
	for _, r := range o.records {
		until := o.firstCommit(r)
		for _, out := range r.outcomes {
			r.optional = r.optional || out.sink == mainSink && slices.ContainsFunc(out.done, func(s settlement) bool {
				for name, spans := range without {
					if (s.deadLetter || nameOf(s.member) == name) && slices.ContainsFunc(spans, func(x timeSpan) bool { return x.from <= until && s.at <= x.until }) {
						return true
					}
				}
				return false
			})
		}
	}
}

// timesWithoutCopySink returns the times in which a member's flow file may lack copySink. Calls of a replaced
// version may continue for a while.
func (o *oracle) timesWithoutCopySink() map[string][]timeSpan {
	spans := map[string][]timeSpan{}
	for _, e := range o.entries {
		if e.kind != flowFileWritten {
			continue
		}
		name := nameOf(e.member)
		all := spans[name]
		if n := len(all); n > 0 && all[n-1].until == forever {
			all[n-1].until = e.at + maxStop
		}
		if e.lacksCopySink {
			spans[name] = append(all, timeSpan{e.at, forever})
		}
	}
	return spans
}

const forever = time.Duration(1<<63 - 1)

// firstCommit returns when a commit first covered the record.
func (o *oracle) firstCommit(r *record) time.Duration {
	for _, e := range o.entries {
		if e.kind == commitRequested && e.part == r.position.part && e.offset > r.position.offset {
			return e.at
		}
	}
	return forever
}

// checkRemovedSink: a version without copySink sends nothing to it.
func (o *oracle) checkRemovedSink() {
	without := map[string]bool{}
	for _, e := range o.entries {
		if e.kind == flowFileWritten && e.lacksCopySink {
			without[fmt.Sprintf("%s v%d", nameOf(e.member), e.n)] = true
		}
	}
	if len(without) == 0 {
		return
	}
	for _, e := range o.entries {
		if e.kind == delivered && e.sink == copySink {
			version := e.text[strings.LastIndex(e.text, " ")+1:]
			o.require(!without[nameOf(e.member)+" "+version], "event %d was sent to %s by %s %s, whose file is without it", e.n, copySink, e.member, version)
		}
	}
}

// checkOtherSinkDelivers: a sink that is down does not stop other sinks while there is room. Without other
// faults, events that are sent meanwhile are delivered to the other sinks before the sink is up
// again. A partition that changes owners waits for hanging calls.
func (o *oracle) checkOtherSinkDelivers() {
	from := slices.IndexFunc(o.entries, func(e entry) bool { return e.kind == sinkDown })
	until := slices.IndexFunc(o.entries, func(e entry) bool { return e.kind == sinkUp })
	for _, out := range o.outcomes {
		if out.of.sinkDown == "" || out.of.sinkDown == out.sink || o.ownerMayHaveChanged(out.of.position.part, settlement{at: o.entries[from].at},
			settlement{at: o.entries[until].at}) {
			continue
		}
		counters.count("answer 2xx expected while only the other sink is down")
		o.require(out.first >= 0 && out.first < until, "%s was not delivered while %s was down", out, out.of.sinkDown)
	}
}
