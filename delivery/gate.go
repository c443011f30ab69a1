package delivery

import (
	"fmt"
	"slices"
)

// gate decides which tasks of an output may begin. It closes when the
// destination does not answer, and when events of several messages in a row were given up:
// an outage must not use up retries, and an expired token must not move a whole
// topic into the dead letter queue. A closed gate lets one task through at a
// time, the probe. The gate knows nothing about lanes, calls or time. The
// engine's lock guards it.
type gate struct {
	stopAfter    int  // messages in a row with events given up that stop the line; 0: never
	countOutages bool // every failure counts, and outages do not close the gate

	state          gateState
	answers        uint64 // of the destination so far: deliveries, and verdicts on an event
	messagesInARow int    // with events given up since the last delivery, those being stored included
	unanswered     int    // calls without an answer in a row
	failedProbes   int    // since the gate closed
	probe          *task  // nil: the next task that asks becomes the probe
	probeFailed    bool   // the current probe has failed
	cause          error  // the last failure that kept the gate closed
}

type gateState uint8

const (
	gateOpen    gateState = iota
	gateAway              // the destination does not answer
	gateStopped           // events of too many messages in a row were given up
)

// awayAfter is how many failures without an answer in a row close the gate. It
// is more than one: a single event that breaks the connection each time must
// not close it while others pass.
const awayAfter = 3

// allows reports whether a task may begin. If the gate is closed and has no
// probe, the task becomes the probe. Dead letters and receipts always pass:
// they do not go to the destination.
func (g *gate) allows(t *task) bool {
	if g.state == gateOpen || t.letter != nil || t.receipt || t.err != nil {
		return true
	}
	if g.probe == nil {
		g.probe, g.probeFailed = t, false
	}
	return g.probe == t
}

// taskDelivered notes a delivery, and reports whether it opens the gate. Only
// the probe opens a stopped line: the destination may have accepted a call from
// before the stop while the token was still valid.
func (g *gate) taskDelivered(t *task) (opens bool) {
	g.messagesInARow = 0
	return g.destinationAnswered(t) || g.state == gateStopped && g.probe == t && g.open()
}

// destinationAnswered notes an answer, and reports whether it opens the gate.
func (g *gate) destinationAnswered(t *task) (opens bool) {
	g.answers++
	g.unanswered = 0
	t.answersSeen = g.answers // its own answer is not one for another event
	return g.state == gateAway && g.open()
}

func (g *gate) open() bool {
	g.state, g.probe, g.failedProbes, g.cause = gateOpen, nil, 0, nil
	return true
}

// taskBegins notes the first try of a task.
func (g *gate) taskBegins(t *task) { t.answersSeen = g.answers }

// taskFailed notes a failure without an answer, and reports whether it counts
// as a retry of the task. It counts only if the destination has answered for
// another task since this one last failed. known is true if the failed call was
// noted already, for another event of its batch, or if the destination took a part
// of the batch: a bad event must not close the gate by its companions.
func (g *gate) taskFailed(t *task, cause error, known bool) (counts bool) {
	counts = g.countOutages || g.answers != t.answersSeen
	t.answersSeen = g.answers
	if g.countOutages {
		return counts
	}
	if !known {
		g.unanswered++
	}
	if g.state == gateOpen && g.unanswered >= awayAfter {
		g.state = gateAway
	}
	if g.state != gateOpen {
		g.cause = cause
	}
	if g.probe == t {
		t.pauses = max(t.pauses, g.failedProbes) // the backoff is that of the gate, as probes take turns
		g.failedProbes++
		g.probeFailed = true
	}
	return counts
}

// waitReason returns why a task waits for the gate.
func (g *gate) waitReason() *hold {
	if g.state == gateAway {
		return &hold{cause: CauseUnavailable, what: "the sink is unavailable"}
	}
	return &hold{cause: CauseStopped, what: "the line is stopped"}
}

// describe says for a person why the gate is closed; "" while it is open.
func (g *gate) describe() string {
	var s string
	switch g.state {
	case gateOpen:
		return ""
	case gateAway:
		s = fmt.Sprintf("the sink is unavailable (%.200s); one event at a time is tried, all others wait", g.cause)
	default:
		s = fmt.Sprintf("the line is stopped: events of %d messages in a row were given up because of the sink (%.200s); "+
			"one is tried again until it passes, all others wait", g.messagesInARow, g.cause)
	}
	if g.probe != nil {
		s += ", probing with " + g.probe.entry.m.Position.String()
	}
	return s
}

// giveUpAnswer is what a task that has failed for good does.
type giveUpAnswer uint8

const (
	giveUpNow   giveUpAnswer = iota // it becomes a dead letter or is dropped
	probeAgain                      // it is the probe, and is retried
	waitForGate                     // it waits for the gate
)

// giveUp decides whether an event may be given up because of the sink. Events of at
// most stopAfter messages in a row may, however many workers ask at once. A message
// counts once at each output: one that becomes thirty events must not stop the line.
func (g *gate) giveUp(t *task, cause error) giveUpAnswer {
	switch {
	case g.stopAfter <= 0:
		return giveUpNow
	case g.state != gateStopped && slices.Contains(t.entry.givenUpAt, t.step):
		return giveUpNow
	case g.state != gateStopped && g.messagesInARow < g.stopAfter:
		g.messagesInARow++
		t.entry.givenUpAt = append(t.entry.givenUpAt, t.step)
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
		g.failedProbes++
		return probeAgain
	}
	return waitForGate
}

// taskGone notes that a task ended or left without a delivery.
func (g *gate) taskGone(t *task) {
	if g.probe == t {
		g.probe = nil
	}
}

// rotatesProbe reports whether the next try goes to another task after the
// probe t has failed. At an outage it does, since an event may fail for reasons
// of its own. A stopped line has the same probe until that is delivered.
func (g *gate) rotatesProbe(t *task) bool {
	return g.state == gateAway && g.probe == t && g.probeFailed
}
