//go:build synctests

package simulation

import (
	"fmt"
	"strings"
)

// Sinks of a flow. A flow with one sink has mainSink.
const (
	mainSink = "main"
	copySink = "copy"
)

// copyAddr is the address of the service of copySink.
const copyAddr = "127.0.0.1:8081"

// sinksPlan is what a seed decides for flows with several sinks.
type sinksPlan struct {
	sinkMode        string // of copySink
	maxRetries      int
	stopTheLine     int
	deadLetterTopic string  // of copySink
	poisonShare     float64 // share of events that copySink refuses permanently
	changed         bool    // reloads remove copySink and add it again
	copyOutages     bool    // its service has outages of its own
	acceptsReplays  bool    // it accepts dead letters that are put back
	goneAtEnd       bool    // the last flow file has no copySink
}

// drawSinks draws the part of the plan about several sinks and split records. Most seeds have
// neither.
func (p *plan) drawSinks(rnd random) {
	share := rnd.Float64()
	p.split = share < 0.2 || share > 0.95
	if p.split {
		counters.count("seeds whose records are split")
	}
	if share >= 0.4 {
		return
	}
	p.sinks = &sinksPlan{
		sinkMode: oneOf(rnd, "structured", "binary", "batch"), maxRetries: oneOf(rnd, 0, 1, 4), stopTheLine: oneOf(rnd, 0, 20),
		deadLetterTopic: oneOf(rnd, deadLetterTopic, "fiso-dlq-copy"), poisonShare: oneOf(rnd, 0.005, 0.02), changed: rnd.chance(0.5),
		copyOutages: rnd.chance(0.7), acceptsReplays: rnd.chance(0.7),
	}
	p.sinks.goneAtEnd = p.sinks.changed && rnd.chance(0.2)
	p.file.hasCopySink = true
	counters.count("seeds with several sinks")
}

// expectedDelivery is what one sink must get of a record.
type expectedDelivery struct {
	sink  string // "": the record becomes no event
	piece int    // index of the event in a split record
	kind  kind
	fails int // number of refusals of a flaky event
}

// copyTakes reports whether the condition of copySink selects an event.
func copyTakes(n, piece int) bool { return (n+piece)%2 == 0 }

// setExpected decides what each sink must get of a record.
func (p *plan) setExpected(e *event) {
	rnd := newRandom(p.seed, 31, e.n)
	if p.split {
		e.pieces = 1 + rnd.IntN(3)
	}
	if e.kind == filtered || e.kind == malformed || e.kind == incomplete {
		e.expected = []*expectedDelivery{{kind: e.kind}}
		return
	}
	e.expected = nil
	for piece := range max(1, e.pieces) {
		u := &expectedDelivery{sink: mainSink, piece: piece, kind: e.kind, fails: e.fails}
		if piece > 0 && !e.deliverable {
			u.draw(rnd, p.flakyShare, p.poisonShare, p.failingShare)
		}
		e.expected = append(e.expected, u)
		if p.sinks == nil || !copyTakes(e.n, piece) || p.sinks.goneAtEnd && e.final {
			continue
		}
		u = &expectedDelivery{sink: copySink, piece: piece}
		if !e.deliverable {
			u.draw(rnd, p.flakyShare, p.sinks.poisonShare, p.failingShare)
		}
		e.expected = append(e.expected, u)
	}
}

func (u *expectedDelivery) draw(rnd random, fails, poisoned, failed float64) {
	u.kind, u.fails = good, 0
	switch x := rnd.Float64(); {
	case x < fails:
		u.kind, u.fails = flaky, 1+rnd.IntN(3)
	case x < fails+poisoned:
		u.kind = poison
	case x < fails+poisoned+failed:
		u.kind = failing
	}
}

// expectedFor returns what a sink must get of the event, or nil.
func (e *event) expectedFor(sink string, piece int) *expectedDelivery {
	for _, u := range e.expected {
		if u.sink == sink && u.piece == piece {
			return u
		}
	}
	return nil
}

// sinks returns the sinks of the flow file and its batch settings.
func (m *member) sinks() (sinks, batch string) {
	batches := func(mode, indent string) string {
		if mode != "batch" {
			return ""
		}
		return "\n" + indent + "batch: {maxEvents: 20, maxWait: 50ms}"
	}
	config := func(addr, mode string) string {
		return fmt.Sprintf(`{url: "http://%s/in", mode: %s, timeout: 30s, maxConnections: 64, headers: {Sim-Member: %q}}`, addr, mode, m.id())
	}
	s := m.sim.plan.sinks
	if s == nil {
		return fmt.Sprintf("sink:\n  name: %s\n  type: http\n  config: %s", mainSink, config(serviceAddr, m.file.sinkMode)), batches(m.file.sinkMode, "  ")
	}
	sinks = fmt.Sprintf("routing: all\nsinks:\n  - name: %s\n    type: http\n    config: %s%s", mainSink, config(serviceAddr, m.file.sinkMode),
		batches(m.file.sinkMode, "    "))
	if m.file.hasCopySink {
		sinks += fmt.Sprintf(`
  - name: %s
    when: %s
    type: http
    config: %s%s
    errorHandling:
      maxRetries: %d
      stopTheLine: {consecutive: %d}
      deadLetter: {type: kafka, config: {brokers: %q, topic: %s, compression: none}}`,
			copySink, m.when(), config(copyAddr, s.sinkMode), batches(s.sinkMode, "    "), s.maxRetries, s.stopTheLine, strings.Join(m.sim.brokers, ","),
			s.deadLetterTopic)
	}
	return sinks, ""
}

// when is copyTakes as a CEL expression.
func (m *member) when() string {
	if m.sim.plan.split {
		return "(data.n + data.p) % 2 == 0"
	}
	return "data.n % 2 == 0"
}

// deadLetterTopicOf returns the dead letter topic of a sink.
func (p *plan) deadLetterTopicOf(sink string) string {
	if sink == copySink {
		return p.sinks.deadLetterTopic
	}
	return deadLetterTopic
}

// deadLetterTopics returns all dead letter topics.
func (p *plan) deadLetterTopics() []string {
	if p.sinks == nil || p.sinks.deadLetterTopic == deadLetterTopic {
		return []string{deadLetterTopic}
	}
	return []string{deadLetterTopic, p.sinks.deadLetterTopic}
}
