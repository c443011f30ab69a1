//go:build synctests

package simulation

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// undoAfter undoes a fault after d. The target stays marked as disturbed until then.
func (sim *simulation) undoAfter(target string, d time.Duration, undo func()) {
	sim.activeFaults.Go(func() {
		defer sim.endFault(target)
		time.Sleep(d)
		undo()
	})
}

// sinkOutage is an outage of the service.
func sinkOutage(sim *simulation, rnd random) {
	if !sim.beginFault("service") {
		return
	}
	sim.outage(rnd, "service", sim.service)
}

// copyOutage is an outage of the service of copySink.
func copyOutage(sim *simulation, rnd random) {
	if sim.copy == nil || !sim.beginFault("copy") {
		return
	}
	sim.outage(rnd, "copy", sim.copy)
}

func (sim *simulation) outage(rnd random, name string, s *service) {
	outageKind := oneOf(rnd, outageKinds...)
	counters.count(name + " " + outageKind)
	sim.history.addNote("the %s %s", name, outageKind)
	s.set(outageKind, sim.plan.maxLatency)
	sim.undoAfter(name, rnd.between(0, 40*time.Second), func() {
		sim.history.addNote("the %s works again", name)
		s.set("", sim.plan.maxLatency)
	})
}

// slowSink makes the service answer slowly.
func slowSink(sim *simulation, rnd random) {
	if !sim.beginFault("service") {
		return
	}
	counters.count("service is slow")
	most := oneOf(rnd, time.Second, 5*time.Second, 25*time.Second)
	sim.history.addNote("the service takes up to %s", most)
	sim.service.set("", most)
	sim.undoAfter("service", rnd.between(0, 30*time.Second), func() {
		sim.history.addNote("the service is fast again")
		sim.service.set("", sim.plan.maxLatency)
	})
}

// deadLettersRefused makes the cluster refuse dead letters. A dead letter that is in flight when its
// event is handed back may still be stored, and no one can know: such events may be settled twice.
func deadLettersRefused(sim *simulation, rnd random) {
	if !sim.beginFault("letters") {
		return
	}
	counters.count("dead letters are refused")
	err := oneOf(rnd, kerr.NotEnoughReplicas, kerr.TopicAuthorizationFailed, kerr.PolicyViolation, kerr.MessageTooLarge,
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition)
	long := rnd.between(0, time.Minute)
	sim.history.add(entry{kind: faultPeriod, text: "dead letters are refused: " + err.Message, until: sim.since() + long + noticeDelay})
	sim.setDeadLetterError(err.Code)
	sim.undoAfter("letters", long, func() {
		sim.history.addNote("dead letters are taken again")
		sim.setDeadLetterError(0)
	})
}

func (sim *simulation) setDeadLetterError(code int16) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.deadLetterError = code
}
