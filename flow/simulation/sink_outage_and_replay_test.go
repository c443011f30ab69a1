//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// minOutage is how long a sink is down at least while there are no other faults. The other sink
	// must get its events before that one is up again.
	minOutage = 20 * time.Second
	// perPartitionDuringOutage is how many events per partition are sent in that time. Every flow file allows
	// at least as many in flight.
	perPartitionDuringOutage = 3
	// maxReplays is how many dead letters are put back at most.
	maxReplays = 8
)

// testOneSinkAtATime tests what can only be judged without other faults: one sink is down, and dead letters
// of one sink are put back.
func (sim *simulation) testOneSinkAtATime(ctx context.Context) {
	if sim.plan.sinks == nil {
		return
	}
	sim.waitUntilAllCommitted()
	rnd := newRandom(sim.plan.seed, 32)
	if !sim.plan.sinks.goneAtEnd {
		sim.waitUntil("all members to be in the group", maxSettle, func() bool { return sim.allJoined() && sim.kafka.Fake.GroupInfo(group).State == "Stable" })
		sim.outageOfOneSink(ctx, rnd)
	}
	sim.replayDeadLetters(ctx, rnd)
}

// waitUntilAllCommitted waits until everything that was sent is settled and committed.
func (sim *simulation) waitUntilAllCommitted() {
	sim.logEndsToReach = sim.logEnds()
	sim.waitUntil("all to be settled and committed", maxSettle, sim.allCommitted)
}

// outageOfOneSink sends events while one of the sinks is down.
func (sim *simulation) outageOfOneSink(ctx context.Context, rnd random) {
	s, outageKind := oneOf(rnd, sim.service, sim.copy), oneOf(rnd, outageKinds...)
	var events []*event
	for n := range perPartitionDuringOutage * partitions {
		e := &event{n: len(sim.events) + n, key: oneOf(rnd, "", "", "during-outage"), part: int32(n % partitions), deliverable: true,
			sinkDown: s.sink} //nolint:gosec // G115: one of six
		sim.plan.setExpected(e)
		events = append(events, e)
	}
	sim.addEvents(events)
	counters.count("only " + s.sink + " is down")
	sim.history.add(entry{kind: sinkDown, sink: s.sink, text: fmt.Sprintf("only the service of %s %s", s.sink, outageKind)})
	s.set(outageKind, sim.plan.maxLatency)
	sim.produceEvents(ctx, rnd, events[:partitions], 0)
	time.Sleep(minOutage / 4) // by now the flow holds the events of this sink
	sim.produceEvents(ctx, rnd, events[partitions:], 0)
	time.Sleep(minOutage / 2)
	s.set("", sim.plan.maxLatency)
	sim.history.add(entry{kind: sinkUp, sink: s.sink})
	sim.waitUntilAllCommitted()
}

// replayDeadLetters puts dead letters of one sink back.
func (sim *simulation) replayDeadLetters(ctx context.Context, rnd random) {
	all := sim.readDeadLetters(ctx)
	sink := oneOf(rnd, mainSink, copySink, copySink)
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var events []*event
	seen := map[position]bool{}
	for _, s := range all {
		at := position{s.part, s.offset}
		if of := sim.eventAt(at); s.sink == sink && of != nil && !seen[at] && len(events) < maxReplays {
			seen[at] = true
			events = append(events, sim.replay(of, s, len(sim.events)+len(events)))
		}
	}
	sim.addEvents(events)
	if sim.plan.sinks.acceptsReplays {
		sim.eachService(func(s *service) { s.acceptReplays() })
	}
	for range events {
		counters.count("dead letter of " + sink + " put back")
		if sink == copySink && sim.plan.sinks.goneAtEnd {
			counters.count("dead letter of a sink that is gone put back")
		}
	}
	sim.history.addNote("%d dead letters of %s are put back", len(events), sink)
	sim.produceEvents(ctx, rnd, events, 0)
	sim.waitUntilAllCommitted()
}

// replay returns a dead letter as an event that a user puts back. It is for its own sink, or for
// all sinks if that sink no longer exists.
func (sim *simulation) replay(of *event, s deadLetter, n int) *event {
	e := &event{n: n, key: s.key, part: s.part, pieces: of.pieces, replayOf: of, rawValue: []byte(s.value)}
	e.headers = append(slices.Clone(s.headers), kgo.RecordHeader{Key: "fiso-replay-count", Value: []byte("1")})
	u := expectedDelivery{sink: s.sink, piece: s.piece}
	if sim.plan.sinks.goneAtEnd {
		u.sink = mainSink
	}
	if was := of.expectedFor(u.sink, u.piece); was != nil && !sim.plan.sinks.acceptsReplays {
		u.kind = was.kind
	}
	e.expected = []*expectedDelivery{&u}
	return e
}

// eventAt returns the event at a position, or nil.
func (sim *simulation) eventAt(at position) *event {
	for _, e := range sim.history.all() {
		if e.kind == produced && (position{e.part, e.offset}) == at {
			return sim.event(e.n)
		}
	}
	return nil
}

// acceptReplays makes the service accept events that it refused.
func (s *service) acceptReplays() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acceptsAll = true
}
