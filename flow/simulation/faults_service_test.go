//go:build synctests

package simulation

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// lasts undoes a disturbance after d. It marks what as disturbed until then.
func (w *world) lasts(what string, d time.Duration, undo func()) {
	w.troubles.Go(func() {
		defer w.release(what)
		time.Sleep(d)
		undo()
	})
}

// sinkTrouble is an outage of the service.
func sinkTrouble(w *world, d dice) {
	if !w.take("service") {
		return
	}
	w.outage(d, "service", w.service)
}

// copyTrouble is an outage of the service of copySink.
func copyTrouble(w *world, d dice) {
	if w.copy == nil || !w.take("copy") {
		return
	}
	w.outage(d, "copy", w.copy)
}

func (w *world) outage(d dice, name string, s *service) {
	trial := one(d, trials...)
	happened.count(name + " " + trial)
	w.history.note("the %s %s", name, trial)
	s.set(trial, w.plan.latency)
	w.lasts(name, d.between(0, 40*time.Second), func() {
		w.history.note("the %s works again", name)
		s.set("", w.plan.latency)
	})
}

// slowSink makes the service answer slowly.
func slowSink(w *world, d dice) {
	if !w.take("service") {
		return
	}
	happened.count("service is slow")
	most := one(d, time.Second, 5*time.Second, 25*time.Second)
	w.history.note("the service takes up to %s", most)
	w.service.set("", most)
	w.lasts("service", d.between(0, 30*time.Second), func() {
		w.history.note("the service is fast again")
		w.service.set("", w.plan.latency)
	})
}

// lettersRefused makes the cluster refuse dead letters. A dead letter that is in flight when its
// event is handed back may still be stored, and no one can know: such events may be settled twice.
func lettersRefused(w *world, d dice) {
	if !w.take("letters") {
		return
	}
	happened.count("dead letters are refused")
	err := one(d, kerr.NotEnoughReplicas, kerr.TopicAuthorizationFailed, kerr.PolicyViolation, kerr.MessageTooLarge,
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition)
	long := d.between(0, time.Minute)
	w.history.add(entry{what: excuse, text: "dead letters are refused: " + err.Message, until: w.since() + long + noticed})
	w.refuse(err.Code)
	w.lasts("letters", long, func() {
		w.history.note("dead letters are taken again")
		w.refuse(0)
	})
}

func (w *world) refuse(code int16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses = code
}
