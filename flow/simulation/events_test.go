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
	good      kind = iota
	flaky          // refused temporarily a few times
	dropped        // filtered by the flow
	malformed      // not JSON
	bare           // lacks a field that the transform needs
	poison         // refused permanently
	stubborn       // always refused temporarily
)

var kinds = [...]string{"good", "flaky", "dropped", "malformed", "bare", "poison", "stubborn"}

// buried reports whether such an event must become a dead letter.
func (k kind) buried() bool { return k >= malformed }

// event is one record that is sent to the flow.
type event struct {
	n     int
	key   string // "": none
	kind  kind
	fails int // number of refusals of a flaky event
	part  int32
	good  bool // every unit of it can be delivered

	pieces int // number of events that the record is split into; 0: not split
	units  []*unit
	away   string // the sink that is down while the event is sent
	last   bool   // part of the epilogue

	// set for a dead letter that is put back
	again   *event
	raw     []byte
	headers []kgo.RecordHeader
}

// number returns the number in the data of the event.
func (e *event) number() int {
	if e.again != nil {
		return e.again.n
	}
	return e.n
}

func (e *event) value() []byte {
	more := ""
	if e.pieces > 0 {
		more = `,"lines":` + [...]string{"", "[0]", "[0,1]", "[0,1,2]"}[e.pieces]
	}
	switch {
	case e.raw != nil:
		return e.raw
	case e.kind == malformed:
		return fmt.Appendf(nil, "#%d is no JSON", e.n)
	case e.kind == bare:
		return fmt.Appendf(nil, `{"n":%d,"kind":"bare"%s}`, e.n, more)
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

// epilogue is the number of events, two per partition, that are sent after the last fault. They
// must be delivered by the last version of the flow.
const epilogue = 2 * partitions

// makeEvents returns the events of a seed.
func makeEvents(d dice, p *plan) []*event {
	all := make([]*event, p.events)
	for n := range all {
		e := &event{n: n, part: d.Int32N(partitions)}
		if !d.chance(0.05) {
			e.key = "k" + strconv.Itoa(d.IntN(p.keys))
			h := fnv.New32a()
			_, _ = h.Write([]byte(e.key)) // cannot fail
			e.part = int32(h.Sum32() % partitions)
		}
		switch x := d.Float64(); {
		case x < 0.04:
			e.kind = dropped
		case x < 0.05:
			e.kind = malformed
		case x < 0.06:
			e.kind = bare
		case x < 0.06+p.flaky:
			e.kind, e.fails = flaky, 1+d.IntN(3)
		case x < 0.06+p.flaky+p.poison:
			e.kind = poison
		case x < 0.06+p.flaky+p.poison+p.stubborn:
			e.kind = stubborn
		}
		all[n] = e
	}
	for i, e := range all[len(all)-epilogue:] {
		*e = event{n: e.n, part: int32(i % partitions), good: true, last: true} //nolint:gosec // G115: one of six
	}
	for _, e := range all {
		p.setUnits(e)
	}
	return all
}

// feed sends events in bursts over a duration and returns when all are stored.
func (w *world) feed(ctx context.Context, d dice, events []*event, over time.Duration) {
	var wg sync.WaitGroup
	for len(events) > 0 {
		burst := min(len(events), 1+d.IntN(1+2*len(w.events)/40))
		for _, e := range events[:burst] {
			r := &kgo.Record{Topic: topic, Partition: e.part, Value: e.value(), Headers: e.headers}
			if e.key != "" {
				r.Key = []byte(e.key)
			}
			wg.Add(1)
			w.producer.Produce(ctx, r, func(r *kgo.Record, err error) {
				defer wg.Done()
				if err != nil {
					w.broken("event %d could not be stored: %v", e.n, err)
					return
				}
				w.history.add(entry{what: produced, n: e.n, part: r.Partition, offset: r.Offset, text: kinds[e.kind]})
			})
		}
		events = events[burst:]
		if over > 0 {
			time.Sleep(d.between(0, 2*over/40))
		}
	}
	stored := make(chan struct{})
	go func() { wg.Wait(); close(stored) }() // ends when the producer does
	select {
	case <-stored:
	case <-time.After(settle):
		w.broken("the cluster has not taken all events after %s", settle)
	}
}
