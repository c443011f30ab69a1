package plan

import (
	"slices"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// place is where records stand that flows write, and sources may read: a name, such
// as a topic's, on servers that go by these addresses. The zero value is none.
type place struct {
	name    string
	servers []string
}

// reader is a source that reads from such places.
type reader interface {
	// reads reports whether the source reads what is written to p, and gives the
	// key under its config that names p, or "" where a pattern matches it.
	reads(p place) (key string, ok bool)
	// leaveOut takes a place that a pattern matches out of what the source reads.
	leaveOut(p place)
	// excluded are the names of places that are left out.
	excluded() []string
}

// writer is a sink or a place for dead letters that writes to such a place.
type writer interface{ writes() place }

// written is where a part of a flow writes to, if that is such a place.
func written(part any) place {
	if w, ok := part.(writer); ok {
		return w.writes()
	}
	return place{}
}

// refuseOwnLoop refuses a flow that reads what it writes: each event, or each of its
// dead letters, would come again without end. A pattern that matches the topic
// for dead letters stands for all topics but that one.
func (b *Plan) refuseOwnLoop(c *checker) {
	src, ok := b.source.(reader)
	if !ok {
		return
	}
	b.refuseDeadLetterLoop(c, src, b.deadLetterQueue, b.Flow.ErrorHandling.DeadLetter)
	for _, o := range b.outputs {
		if e := o.ErrorHandling; e.DeadLetter.Type != "" || e.DeadLetterTopic != "" {
			b.refuseDeadLetterLoop(c, src, o.deadLetterQueue, e.DeadLetter)
		}
	}
	for _, o := range b.outputs {
		to := written(o.sink)
		if _, reads := src.reads(to); reads {
			c.add(o.fault("topic", "%s is a topic that this flow reads: each event would come again without end; write to another topic", to.name))
		}
	}
}

// refuseDeadLetterLoop refuses a place for dead letters that the flow reads.
func (b *Plan) refuseDeadLetterLoop(c *checker, src reader, letters deadLetters, named spec.DeadLetter) {
	to := written(letters)
	key, reads := src.reads(to)
	switch {
	case !reads:
	case key == "":
		src.leaveOut(to)
	case named.Type != "":
		c.add(named.Config.Fault("topic",
			"%s is a topic that this flow reads: each dead letter would become another one; name a topic for dead letters alone", to.name))
	default:
		c.add(b.Flow.Source.Config.Fault(key, "%s is the topic for this flow's dead letters, each of which would become another one: "+
			"name a topic for dead letters alone in errorHandling.deadLetterTopic", to.name))
	}
}

// refuseLoops refuses flows that together read what they write: without a filter
// each event would go round without end, and dead letters that go from one to the
// other and back are never delivered. A flow that reads the dead letters of
// another and writes to its topic is a way to try again, and is let be: what
// never passes is stopped by its count (deadletter.MaxDeaths, maxHops).
func refuseLoops(flows []*Plan) config.Errors {
	var faults config.Errors
	for _, c := range []loopFinder{
		{flows, (*Plan).outputTopics, "each event would go round without end; write to another topic, or set a filter"},
		{flows, (*Plan).deadLetterTopics, "a dead letter would go round and never be delivered; let one of them not read the other's dead letters"},
	} {
		if way := c.find(); way != nil {
			faults = append(faults, c.fault(way))
		}
	}
	return faults
}

// outputTopics is where every event of the flow goes that can be delivered.
func (b *Plan) outputTopics() place {
	if b.several() || !b.Flow.Filter.IsZero() {
		return place{} // some events may go elsewhere
	}
	return written(b.outputs[0].sink)
}

// deadLetterTopics is where the dead letters of the flow go.
func (b *Plan) deadLetterTopics() place { return written(b.deadLetterQueue) }

// loopFinder looks for flows that write in a circle.
type loopFinder struct {
	flows    []*Plan
	writes   func(*Plan) place
	describe string
}

// find is the flows of the first circle, in the order of writing, or nil.
func (c *loopFinder) find() []*Plan {
	done := map[*Plan]bool{}
	var way []*Plan
	var visit func(*Plan) []*Plan
	visit = func(b *Plan) []*Plan {
		if i := slices.Index(way, b); i >= 0 {
			return way[i:]
		}
		if done[b] {
			return nil
		}
		done[b] = true
		way = append(way, b)
		for _, next := range c.readers(b) {
			if found := visit(next); found != nil {
				return found
			}
		}
		way = way[:len(way)-1]
		return nil
	}
	for _, b := range c.flows {
		if found := visit(b); found != nil {
			return found
		}
	}
	return nil
}

// readers are the other flows that read what b writes.
func (c *loopFinder) readers(b *Plan) []*Plan {
	to := c.writes(b)
	var all []*Plan
	for _, other := range c.flows {
		src, ok := other.source.(reader)
		if !ok || other == b {
			continue
		}
		if _, reads := src.reads(to); reads {
			all = append(all, other)
		}
	}
	return all
}

// fault is that of the last flow of a circle.
func (c *loopFinder) fault(way []*Plan) *config.Error {
	names := make([]string, 0, len(way)+1)
	for _, b := range append(slices.Clone(way), way[0]) {
		names = append(names, b.Name())
	}
	last := way[len(way)-1]
	return last.Flow.Source.Config.Fault("", "the flows %s read what the one before them writes: %s", strings.Join(names, ", "), c.describe)
}
