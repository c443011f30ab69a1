//go:build synctests

package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// lastVersion is the version of the transform that every member runs at the end.
const lastVersion = 1_000_000

// shortSession is longer than a member may take to drain. kfake lets the session of a member
// expire while it waits for others to join, and never answers its JoinGroup. A real cluster keeps
// a waiting member alive.
const shortSession = 30 * time.Second

// plan is everything that a seed decides in advance.
type plan struct {
	seed                    uint64
	events                  int
	keys                    int
	ordering                string
	start                   string
	session                 time.Duration
	latency                 time.Duration // maximum, of the service
	lossy                   float64       // share of answers that are lost
	flaky, poison, stubborn float64
	over                    time.Duration // duration of events and faults
	pace                    time.Duration // maximum, between faults
	faults                  []string      // kinds of faults that may happen
	file                    settings
	split                   bool       // each record becomes one to three events
	sinks                   *sinksPlan // nil: one sink
}

// newPlan draws a plan. Many seeds leave out some kinds of faults, because some rules are stricter
// without them. If only is not empty, it names the kinds.
func newPlan(seed uint64, only string) *plan {
	d := newDice(seed, 0)
	p := &plan{
		seed: seed, events: 300 + d.IntN(1700), keys: one(d, 1, 7, 50, 500),
		ordering: one(d, "key", "key", "key", "partition", "none"), start: one(d, "earliest", "latest"),
		session: one(d, shortSession, 45*time.Second), latency: one(d, 0, 5*time.Millisecond, 30*time.Millisecond),
		over: d.between(30*time.Second, 2*time.Minute), pace: d.between(2*time.Second, 10*time.Second),
		file: settings{inFlight: one(d, 4, 64, 1024), mode: one(d, "structured", "structured", "binary", "batch"), retries: one(d, 1, 3, 5), line: one(d, 0, 20)},
	}
	if d.chance(0.8) {
		p.flaky = 0.05
	}
	if d.chance(0.5) {
		p.poison, p.stubborn = 0.01, 0.005
	}
	if d.chance(0.2) {
		p.lossy = 0.01
	}
	for _, kind := range kindsOfFaults() {
		if d.chance(0.4) {
			p.faults = append(p.faults, kind)
		}
	}
	p.severalSinks(newDice(seed, 30))
	if p.sinks != nil && p.sinks.trouble {
		p.faults = append(p.faults, troubleOfCopy, troubleOfCopy)
	}
	if only != "" {
		p.faults = nil
		for kind := range strings.SplitSeq(only, ",") {
			if kind != "none" {
				p.faults = append(p.faults, kind)
			}
		}
	}
	return p
}

// troubleOfCopy is the kind of fault that needs several sinks.
const troubleOfCopy = "copy"

// kindsOfFaults returns the kinds without troubleOfCopy. Seeds depend on their order.
func kindsOfFaults() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(faults)), func(kind string) bool { return kind == troubleOfCopy })
}

func (p *plan) String() string {
	s := fmt.Sprintf("%d events of %d keys over %s, order by %s, start at %s, faults %v, %+v", p.events, p.keys, p.over, p.ordering, p.start, p.faults, p.file)
	if p.split {
		s += ", split"
	}
	if p.sinks != nil {
		s += fmt.Sprintf(", several sinks %+v", *p.sinks)
	}
	return s
}
