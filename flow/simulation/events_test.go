//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kind is what an event causes in the flow.
type kind uint8

const (
	good       kind = iota
	flaky           // refused temporarily a few times
	filtered        // filtered by the flow
	malformed       // not JSON
	incomplete      // lacks a field that the transform needs
	poison          // refused permanently
	failing         // always refused temporarily
)

var kinds = [...]string{"good", "flaky", "filtered", "malformed", "incomplete", "poison", "failing"}

// becomesDeadLetter reports whether such an event must become a dead letter.
func (k kind) becomesDeadLetter() bool { return k >= malformed }

// event is one record that is sent to the flow.
type event struct {
	n           int
	key         string // "": none
	kind        kind
	fails       int // number of refusals of a flaky event
	part        int32
	deliverable bool // every sink accepts every piece of it

	pieces   int // number of events that the record is split into; 0: not split
	expected []*expectedDelivery
	sinkDown string // the sink that is down while the event is sent
	final    bool   // sent after the last fault

	// set for a dead letter that is put back
	replayOf *event
	rawValue []byte
	headers  []kgo.RecordHeader
}

// number returns the number in the data of the event.
func (e *event) number() int {
	if e.replayOf != nil {
		return e.replayOf.n
	}
	return e.n
}

func (e *event) value() []byte {
	more := ""
	if e.pieces > 0 {
		more = `,"lines":` + [...]string{"", "[0]", "[0,1]", "[0,1,2]"}[e.pieces]
	}
	switch {
	case e.rawValue != nil:
		return e.rawValue
	case e.kind == malformed:
		return fmt.Appendf(nil, "#%d is no JSON", e.n)
	case e.kind == incomplete:
		return fmt.Appendf(nil, `{"n":%d,"kind":"incomplete"%s}`, e.n, more)
	}
	return fmt.Appendf(nil, `{"n":%d,"kind":%q,"must":true%s}`, e.n, kinds[e.kind], more)
}

// lane names the order that the event belongs to; "": unordered.
func (e *event) lane(ordering string) string {
	part := strconv.Itoa(int(e.part))
	switch {
	case ordering == "partition":
		return part
	case ordering == "none" || e.key == "":
		return ""
	}
	return part + "/" + e.key
}

// finalEvents is the number of events, two per partition, that are sent after the last fault. They
// must be delivered by the last version of the flow.
const finalEvents = 2 * partitions

// newEvents returns the events of a seed.
func newEvents(rnd random, p *plan) []*event {
	all := make([]*event, p.events)
	for n := range all {
		e := &event{n: n, part: rnd.Int32N(partitions)}
		if !rnd.chance(0.05) {
			e.key = "k" + strconv.Itoa(rnd.IntN(p.keys))
			h := fnv.New32a()
			_, _ = h.Write([]byte(e.key)) // cannot fail
			e.part = int32(h.Sum32() % partitions)
		}
		switch x := rnd.Float64(); {
		case x < 0.04:
			e.kind = filtered
		case x < 0.05:
			e.kind = malformed
		case x < 0.06:
			e.kind = incomplete
		case x < 0.06+p.flakyShare:
			e.kind, e.fails = flaky, 1+rnd.IntN(3)
		case x < 0.06+p.flakyShare+p.poisonShare:
			e.kind = poison
		case x < 0.06+p.flakyShare+p.poisonShare+p.failingShare:
			e.kind = failing
		}
		all[n] = e
	}
	for i, e := range all[len(all)-finalEvents:] {
		*e = event{n: e.n, part: int32(i % partitions), deliverable: true, final: true} //nolint:gosec // G115: one of six
	}
	for _, e := range all {
		p.setExpected(e)
	}
	return all
}

// produceEvents sends events in bursts over a duration and returns when all are stored.
func (sim *simulation) produceEvents(ctx context.Context, rnd random, events []*event, over time.Duration) {
	var wg sync.WaitGroup
	for len(events) > 0 {
		burst := min(len(events), 1+rnd.IntN(1+2*len(sim.events)/40))
		for _, e := range events[:burst] {
			r := &kgo.Record{Topic: topic, Partition: e.part, Value: e.value(), Headers: e.headers}
			if e.key != "" {
				r.Key = []byte(e.key)
			}
			wg.Add(1)
			sim.producer.Produce(ctx, r, func(r *kgo.Record, err error) {
				defer wg.Done()
				if err != nil {
					sim.violation("event %d could not be stored: %v", e.n, err)
					return
				}
				sim.history.add(entry{kind: produced, n: e.n, part: r.Partition, offset: r.Offset, text: kinds[e.kind]})
			})
		}
		events = events[burst:]
		if over > 0 {
			time.Sleep(rnd.between(0, 2*over/40))
		}
	}
	stored := make(chan struct{})
	go func() { wg.Wait(); close(stored) }() // ends when the producer does
	select {
	case <-stored:
	case <-time.After(maxSettle):
		sim.violation("the cluster has not taken all events after %s", maxSettle)
	}
}
