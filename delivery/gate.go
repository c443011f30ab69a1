package delivery

import "fmt"

// gate decides which tasks of an output may begin. It closes when the
// destination seems to be away, and when events are given up one after the
// other: an outage must not use up retries, and an expired token must not pour a
// topic into the dead letter queue. A closed gate lets one task through at a
// time, the probe. It knows nothing of lanes, calls or time, and is guarded by
// the engine's lock.
type gate struct {
	stopAfter    int  // dead letters in a row that stop the line; 0: none does
	countOutages bool // every failure counts, and outages do not close the gate

	state             gateState
	answers           uint64 // of the destination, so far: deliveries, and verdicts on an event
	deadLettersInARow int    // dead letters since the last delivery, those being stored too
	unanswered        int    // failures without an answer in a row
	probes            int    // in vain, since the gate closed
	probe             *task  // nil: the next that asks
	probeFailed       bool   // the probe has failed
	cause             error  // the last failure that kept it closed
}

type gateState uint8

const (
	gateOpen    gateState = iota
	gateAway              // the destination does not answer
	gateStopped           // too many events in a row were given up
)

// awayAfter is how many failures in a row without an answer close the gate. One
// event that breaks the connection each time must not, while others pass.
const awayAfter = 3

// allows reports whether a task may begin. A task that asks at a closed gate
// without a probe becomes the probe. Dead letters and receipts always pass: they
// do not go to the destination.
func (g *gate) allows(t *task) bool {
	if g.state == gateOpen || t.letter != nil || t.receipt || t.err != nil {
		return true
	}
	if g.probe == nil {
		g.probe, g.probeFailed = t, false
	}
	return g.probe == t
}

// taskDelivered notes a delivery, and reports whether the gate opens. Only the probe
// opens a stopped line: a late answer to a call from before the stop may have
// been accepted before the token expired.
func (g *gate) taskDelivered(t *task) (opens bool) {
	g.deadLettersInARow = 0
	return g.destinationAnswered(t) || g.state == gateStopped && g.probe == t && g.open()
}

// destinationAnswered notes an answer, and reports whether the gate opens.
func (g *gate) destinationAnswered(t *task) (opens bool) {
	g.answers++
	g.unanswered = 0
	t.answersSeen = g.answers // its own says nothing of the others'
	return g.state == gateAway && g.open()
}

func (g *gate) open() bool {
	g.state, g.probe, g.probes, g.cause = gateOpen, nil, 0, nil
	return true
}

// taskBegins notes the first try of a task.
func (g *gate) taskBegins(t *task) { t.answersSeen = g.answers }

// taskFailed notes a failure without an answer. It reports whether it counts against
// the task: only if the destination has answered for another one since the task
// last failed.
func (g *gate) taskFailed(t *task, cause error) (counts bool) {
	counts = g.countOutages || g.answers != t.answersSeen
	t.answersSeen = g.answers
	if g.countOutages {
		return counts
	}
	g.unanswered++
	if g.state == gateOpen && g.unanswered >= awayAfter {
		g.state = gateAway
	}
	if g.state != gateOpen {
		g.cause = cause
	}
	if g.probe == t {
		t.pauses = max(t.pauses, g.probes) // the backoff is the gate's: probes take turns
		g.probes++
		g.probeFailed = true
	}
	return counts
}

// waitReason is what keeps a task waiting.
func (g *gate) waitReason() *hold {
	if g.state == gateAway {
		return &hold{cause: CauseUnavailable, what: "the sink is unavailable"}
	}
	return &hold{cause: CauseStopped, what: "the line is stopped"}
}

// describe say for a person that the gate is closed; "" while it is open.
func (g *gate) describe() string {
	var s string
	switch g.state {
	case gateOpen:
		return ""
	case gateAway:
		s = fmt.Sprintf("the sink is unavailable (%.200s); one event at a time is tried, all others wait", g.cause)
	default:
		s = fmt.Sprintf("the line is stopped: %d events in a row were given up because of the sink (%.200s); one is tried again until it passes, all others wait", g.deadLettersInARow, g.cause)
	}
	if g.probe != nil {
		s += ", probing with " + g.probe.entry.m.Position.String()
	}
	return s
}

// giveUpAnswer is what a gate says to a task that is to be given up.
type giveUpAnswer uint8

const (
	giveUpNow   giveUpAnswer = iota // give it up
	probeAgain                      // it is the probe, and tries again
	waitForGate                     // it waits for the gate
)

// giveUp asks whether an event may be given up because of the sink. However
// many ask at the same moment, no more than stopAfter in a row may.
func (g *gate) giveUp(t *task, cause error) giveUpAnswer {
	switch {
	case g.stopAfter <= 0:
		return giveUpNow
	case g.state != gateStopped && g.deadLettersInARow < g.stopAfter:
		g.deadLettersInARow++
		return giveUpNow
	}
	if g.state == gateAway {
		g.probe = nil
	}
	g.state, g.cause = gateStopped, cause
	if g.probe == nil {
		g.probe = t
	}
	if g.probe == t {
		g.probes++
		return probeAgain
	}
	return waitForGate
}

// taskGone notes that a task is gone without a delivery.
func (g *gate) taskGone(t *task) {
	if g.probe == t {
		g.probe = nil
	}
}

// rotatesProbe reports whether a probe that failed leaves the next try to another
// task. At an outage it does, for it may fail by itself; where the line is
// stopped the head event is the probe until it passes.
func (g *gate) rotatesProbe(t *task) bool {
	return g.state == gateAway && g.probe == t && g.probeFailed
}
