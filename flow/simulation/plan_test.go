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
	seed                                  uint64
	events                                int
	keys                                  int
	ordering                              string
	startOffset                           string
	sessionTimeout                        time.Duration
	maxLatency                            time.Duration // of the service
	lostAnswerShare                       float64
	flakyShare, poisonShare, failingShare float64
	duration                              time.Duration // of events and faults
	maxFaultInterval                      time.Duration
	faults                                []string // kinds of faults that may happen
	file                                  settings
	split                                 bool       // each record becomes one to three events
	sinks                                 *sinksPlan // nil: one sink
}

// newPlan draws a plan. Many seeds leave out some kinds of faults, because some rules are stricter
// without them. If only is not empty, it names the kinds.
func newPlan(seed uint64, only string) *plan {
	rnd := newRandom(seed, 0)
	p := &plan{
		seed: seed, events: 300 + rnd.IntN(1700), keys: oneOf(rnd, 1, 7, 50, 500),
		ordering: oneOf(rnd, "key", "key", "key", "partition", "none"), startOffset: oneOf(rnd, "earliest", "latest"),
		sessionTimeout: oneOf(rnd, shortSession, 45*time.Second), maxLatency: oneOf(rnd, 0, 5*time.Millisecond, 30*time.Millisecond),
		duration: rnd.between(30*time.Second, 2*time.Minute), maxFaultInterval: rnd.between(2*time.Second, 10*time.Second),
		file: settings{maxInFlight: oneOf(rnd, 4, 64, 1024), sinkMode: oneOf(rnd, "structured", "structured", "binary", "batch"), maxRetries: oneOf(rnd, 1,
			3, 5), stopTheLine: oneOf(rnd, 0, 20)},
	}
	if rnd.chance(0.8) {
		p.flakyShare = 0.05
	}
	if rnd.chance(0.5) {
		p.poisonShare, p.failingShare = 0.01, 0.005
	}
	if rnd.chance(0.2) {
		p.lostAnswerShare = 0.01
	}
	for _, kind := range kindsOfFaults() {
		if rnd.chance(0.4) {
			p.faults = append(p.faults, kind)
		}
	}
	p.drawSinks(newRandom(seed, 30))
	if p.sinks != nil && p.sinks.copyOutages {
		p.faults = append(p.faults, copyOutageKind, copyOutageKind)
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

// copyOutageKind is the kind of fault that needs several sinks.
const copyOutageKind = "copy"

// kindsOfFaults returns the kinds without copyOutageKind. Seeds depend on their order.
func kindsOfFaults() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(faults)), func(kind string) bool { return kind == copyOutageKind })
}

func (p *plan) String() string {
	s := fmt.Sprintf("%d events of %d keys over %s, order by %s, start at %s, faults %v, %+v", p.events, p.keys, p.duration, p.ordering, p.startOffset,
		p.faults, p.file)
	if p.split {
		s += ", split"
	}
	if p.sinks != nil {
		s += fmt.Sprintf(", several sinks %+v", *p.sinks)
	}
	return s
}
