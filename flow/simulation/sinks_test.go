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
	mode    string // of copySink
	retries int
	line    int
	letters string  // topic of the dead letters of copySink
	poison  float64 // share of events that it refuses permanently
	changes bool    // reloads remove copySink and add it again
	trouble bool    // its service has outages of its own
	mended  bool    // it accepts dead letters that are put back
	gone    bool    // the last flow file has no copySink
}

// severalSinks draws the part of the plan about several sinks and split records. Most seeds have
// neither.
func (p *plan) severalSinks(d dice) {
	share := d.Float64()
	p.split = share < 0.2 || share > 0.95
	if p.split {
		happened.count("seeds whose records are split")
	}
	if share >= 0.4 {
		return
	}
	p.sinks = &sinksPlan{
		mode: one(d, "structured", "binary", "batch"), retries: one(d, 0, 1, 4), line: one(d, 0, 20),
		letters: one(d, letters, "fiso-dlq-copy"), poison: one(d, 0.005, 0.02), changes: d.chance(0.5), trouble: d.chance(0.7), mended: d.chance(0.7),
	}
	p.sinks.gone = p.sinks.changes && d.chance(0.2)
	p.file.copied = true
	happened.count("seeds with several sinks")
}

// unit is what one sink must get of a record.
type unit struct {
	sink  string // "": the record becomes no event
	piece int    // index of the event in a split record
	kind  kind
	fails int // number of refusals of a flaky event
}

// copied reports whether the condition of copySink selects an event.
func copied(n, piece int) bool { return (n+piece)%2 == 0 }

// setUnits decides what each sink must get of a record.
func (p *plan) setUnits(e *event) {
	d := newDice(p.seed, 31, e.n)
	if p.split {
		e.pieces = 1 + d.IntN(3)
	}
	if e.kind == dropped || e.kind == malformed || e.kind == bare {
		e.units = []*unit{{kind: e.kind}}
		return
	}
	e.units = nil
	for piece := range max(1, e.pieces) {
		u := &unit{sink: mainSink, piece: piece, kind: e.kind, fails: e.fails}
		if piece > 0 && !e.good {
			u.roll(d, p.flaky, p.poison, p.stubborn)
		}
		e.units = append(e.units, u)
		if p.sinks == nil || !copied(e.n, piece) || p.sinks.gone && e.last {
			continue
		}
		u = &unit{sink: copySink, piece: piece}
		if !e.good {
			u.roll(d, p.flaky, p.sinks.poison, p.stubborn)
		}
		e.units = append(e.units, u)
	}
}

func (u *unit) roll(d dice, fails, poisoned, stubborned float64) {
	u.kind, u.fails = good, 0
	switch x := d.Float64(); {
	case x < fails:
		u.kind, u.fails = flaky, 1+d.IntN(3)
	case x < fails+poisoned:
		u.kind = poison
	case x < fails+poisoned+stubborned:
		u.kind = stubborn
	}
}

// unit returns what a sink must get of the event, or nil.
func (e *event) unit(sink string, piece int) *unit {
	for _, u := range e.units {
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
		return fmt.Sprintf(`{url: "http://%s/in", mode: %s, timeout: 30s, maxConnections: 64, headers: {Sim-Member: %q}}`, addr, mode, m.who())
	}
	s := m.w.plan.sinks
	if s == nil {
		return fmt.Sprintf("sink:\n  name: %s\n  type: http\n  config: %s", mainSink, config(serviceAddr, m.file.mode)), batches(m.file.mode, "  ")
	}
	sinks = fmt.Sprintf("routing: all\nsinks:\n  - name: %s\n    type: http\n    config: %s%s", mainSink, config(serviceAddr, m.file.mode), batches(m.file.mode, "    "))
	if m.file.copied {
		sinks += fmt.Sprintf(`
  - name: %s
    when: %s
    type: http
    config: %s%s
    errorHandling:
      maxRetries: %d
      stopTheLine: {consecutive: %d}
      deadLetter: {type: kafka, config: {brokers: %q, topic: %s, compression: none}}`,
			copySink, m.when(), config(copyAddr, s.mode), batches(s.mode, "    "), s.retries, s.line, strings.Join(m.w.brokers, ","), s.letters)
	}
	return sinks, ""
}

// when is copied as a CEL expression.
func (m *member) when() string {
	if m.w.plan.split {
		return "(data.n + data.p) % 2 == 0"
	}
	return "data.n % 2 == 0"
}

// lettersOf returns the dead letter topic of a sink.
func (p *plan) lettersOf(sink string) string {
	if sink == copySink {
		return p.sinks.letters
	}
	return letters
}

// letterTopics returns all dead letter topics.
func (p *plan) letterTopics() []string {
	if p.sinks == nil || p.sinks.letters == letters {
		return []string{letters}
	}
	return []string{letters, p.sinks.letters}
}
