package plan

import (
	"slices"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// place is where flows write events and sources may read them. The zero value is no place.
type place struct {
	protocol string   // kafka, http, https, grpc or grpcs
	name     string   // topic, path or flow; "" for grpc: the only flow there
	servers  []string // addresses
}

// reader is a source that reads from a place.
type reader interface {
	// reads reports whether the source reads records in p. key is the config key that names p, or
	// "" if a pattern matches it.
	reads(p place) (key string, ok bool)
}

// patternReader is a reader whose places may be given by a pattern.
type patternReader interface {
	reader
	// excludePlace excludes a place that a pattern matches from what the source reads.
	excludePlace(p place)
	// excluded returns the names of the excluded places.
	excluded() []string
}

// writer is a sink or dead letter queue that writes to a place.
type writer interface{ writes() place }

// destinationOf returns the place that a part of a flow writes to, or none.
func destinationOf(part any) place {
	if w, ok := part.(writer); ok {
		return w.writes()
	}
	return place{}
}

// refuseOwnLoop refuses a flow that reads what it writes: its events or dead letters would come
// back endlessly. If only a pattern matches the dead letter topic, the source does not read that
// topic.
func (p *Plan) refuseOwnLoop(c *checker) {
	src, ok := p.source.(reader)
	if !ok {
		return
	}
	p.refuseDeadLetterLoop(c, src, p.deadLetterQueue, p.Flow.ErrorHandling.DeadLetter)
	for _, o := range p.outputs {
		if e := o.ErrorHandling; e.DeadLetter.Type != "" || e.DeadLetterTopic != "" {
			p.refuseDeadLetterLoop(c, src, o.deadLetterQueue, e.DeadLetter)
		}
	}
	for _, o := range p.outputs {
		to := destinationOf(o.sink)
		_, reads := src.reads(to)
		switch {
		case !reads:
		case to.protocol == protocolKafka:
			c.add(o.fault("topic", "%s is a topic that this flow reads: each event would come back endlessly; write to another topic", to.name))
		case to.protocol == protocolGRPC || to.protocol == protocolGRPCS:
			c.add(o.fault("target", "this flow's source listens there: each event would come back endlessly; send to another address or flow"))
		default:
			c.add(o.fault("url", "this flow's source listens there: each event would come back endlessly; send to another address or path"))
		}
	}
}

// refuseDeadLetterLoop refuses a place for dead letters that the flow reads, or excludes it if
// only a pattern matches it.
func (p *Plan) refuseDeadLetterLoop(c *checker, src reader, letters deadLetters, named spec.DeadLetter) {
	to := destinationOf(letters)
	key, reads := src.reads(to)
	switch {
	case !reads:
	case key == "":
		if pattern, ok := src.(patternReader); ok {
			pattern.excludePlace(to)
		}
	case named.Type != "":
		c.add(named.Config.Fault("topic",
			"%s is a topic that this flow reads: each dead letter would become another one; name a topic for dead letters alone", to.name))
	default:
		c.add(p.Flow.Source.Config.Fault(key, "%s is the topic for this flow's dead letters, each of which would become another one: "+
			"name a topic for dead letters alone in errorHandling.deadLetterTopic", to.name))
	}
}

// refuseLoops refuses flows that read each other's output in a circle. Without a filter, events
// would go round endlessly, and so would dead letters. A flow that reads the dead letters of
// another flow and writes to its topic is allowed, because it retries them: an event that never
// passes is stopped by its count (deadletter.MaxDeaths, maxHops).
func refuseLoops(flows []*Plan) config.Errors {
	var faults config.Errors
	for _, c := range []loopFinder{
		{flows, (*Plan).outputTopics, "each event would go round endlessly; write elsewhere, or set a filter"},
		{flows, (*Plan).deadLetterTopics, "a dead letter would go round and never be delivered; let one of them not read the other's dead letters"},
	} {
		if path := c.find(); path != nil {
			faults = append(faults, c.fault(path))
		}
	}
	return faults
}

// outputTopics returns the place that gets every deliverable event of the flow, or none.
func (p *Plan) outputTopics() place {
	if p.hasManySinks() || !p.Flow.Filter.IsZero() {
		return place{} // some events may go elsewhere
	}
	return destinationOf(p.outputs[0].sink)
}

// deadLetterTopics returns the place for the dead letters of the flow.
func (p *Plan) deadLetterTopics() place { return destinationOf(p.deadLetterQueue) }

// loopFinder finds flows that write in a circle.
type loopFinder struct {
	flows    []*Plan
	writes   func(*Plan) place
	describe string
}

// find returns the flows of the first circle, in the order in which they write, or nil.
func (c *loopFinder) find() []*Plan {
	done := map[*Plan]bool{}
	var path []*Plan
	var visit func(*Plan) []*Plan
	visit = func(p *Plan) []*Plan {
		if i := slices.Index(path, p); i >= 0 {
			return path[i:]
		}
		if done[p] {
			return nil
		}
		done[p] = true
		path = append(path, p)
		for _, next := range c.readers(p) {
			if found := visit(next); found != nil {
				return found
			}
		}
		path = path[:len(path)-1]
		return nil
	}
	for _, p := range c.flows {
		if found := visit(p); found != nil {
			return found
		}
	}
	return nil
}

// readers returns the other flows that read what p writes.
func (c *loopFinder) readers(p *Plan) []*Plan {
	to := c.writes(p)
	var all []*Plan
	for _, other := range c.flows {
		src, ok := other.source.(reader)
		if !ok || other == p {
			continue
		}
		if _, reads := src.reads(to); reads {
			all = append(all, other)
		}
	}
	return all
}

// fault returns the fault of a circle, at the source of its last flow.
func (c *loopFinder) fault(path []*Plan) *config.Error {
	names := make([]string, 0, len(path)+1)
	for _, p := range append(slices.Clone(path), path[0]) {
		names = append(names, p.Name())
	}
	last := path[len(path)-1]
	return last.Flow.Source.Config.Fault("", "the flows %s read what the one before them writes: %s", strings.Join(names, ", "), c.describe)
}
