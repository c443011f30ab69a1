//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// awayFor is how long a sink is down at least in a world without other faults. The other sink
	// must get its events before that one is up again.
	awayFor = 20 * time.Second
	// sentMeanwhile is how many events per partition are sent in that time. Every flow file allows
	// at least as many in flight.
	sentMeanwhile = 3
	// replays is how many dead letters are put back at most.
	replays = 8
)

// afterHeal tests what can only be judged without other faults: one sink is down, and dead letters
// of one sink are put back.
func (w *world) afterHeal(ctx context.Context) {
	if w.plan.sinks == nil {
		return
	}
	w.untilSettled()
	d := newDice(w.plan.seed, 32)
	if !w.plan.sinks.gone {
		w.until("all members to be in the group", settle, func() bool { return w.joined() && w.kafka.Fake.GroupInfo(group).State == "Stable" })
		w.outageOfOne(ctx, d)
	}
	w.replayLetters(ctx, d)
}

// untilSettled waits until everything that was sent is settled and committed.
func (w *world) untilSettled() {
	w.ends = w.logEnds()
	w.until("all to be settled and committed", settle, w.settled)
}

// outageOfOne sends events while one of the sinks is down.
func (w *world) outageOfOne(ctx context.Context, d dice) {
	s, trial := one(d, w.service, w.copy), one(d, trials...)
	var events []*event
	for n := range sentMeanwhile * partitions {
		e := &event{n: len(w.events) + n, key: one(d, "", "", "calm"), part: int32(n % partitions), good: true, away: s.sink} //nolint:gosec // G115: one of six
		w.plan.setUnits(e)
		events = append(events, e)
	}
	w.addEvents(events)
	happened.count("only " + s.sink + " is away")
	w.history.add(entry{what: away, sink: s.sink, text: fmt.Sprintf("only the service of %s %s", s.sink, trial)})
	s.set(trial, w.plan.latency)
	w.feed(ctx, d, events[:partitions], 0)
	time.Sleep(awayFor / 4) // by now the flow holds the events of this sink
	w.feed(ctx, d, events[partitions:], 0)
	time.Sleep(awayFor / 2)
	s.set("", w.plan.latency)
	w.history.add(entry{what: back, sink: s.sink})
	w.untilSettled()
}

// replayLetters puts dead letters of one sink back.
func (w *world) replayLetters(ctx context.Context, d dice) {
	all := w.readLetters(ctx)
	sink := one(d, mainSink, copySink, copySink)
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var events []*event
	seen := map[place]bool{}
	for _, s := range all {
		at := place{s.part, s.offset}
		if of := w.eventAt(at); s.sink == sink && of != nil && !seen[at] && len(events) < replays {
			seen[at] = true
			events = append(events, w.replay(of, s, len(w.events)+len(events)))
		}
	}
	w.addEvents(events)
	if w.plan.sinks.mended {
		w.services(func(s *service) { s.mend() })
	}
	for range events {
		happened.count("dead letter of " + sink + " put back")
		if sink == copySink && w.plan.sinks.gone {
			happened.count("dead letter of a sink that is gone put back")
		}
	}
	w.history.note("%d dead letters of %s are put back", len(events), sink)
	w.feed(ctx, d, events, 0)
	w.untilSettled()
}

// replay returns a dead letter as an event that a user puts back. It is for its own sink, or for
// all sinks if that sink no longer exists.
func (w *world) replay(of *event, s stored, n int) *event {
	e := &event{n: n, key: s.key, part: s.part, pieces: of.pieces, again: of, raw: []byte(s.value)}
	e.headers = append(slices.Clone(s.headers), kgo.RecordHeader{Key: "fiso-replay-count", Value: []byte("1")})
	u := unit{sink: s.sink, piece: s.piece}
	if w.plan.sinks.gone {
		u.sink = mainSink
	}
	if was := of.unit(u.sink, u.piece); was != nil && !w.plan.sinks.mended {
		u.kind = was.kind
	}
	e.units = []*unit{&u}
	return e
}

// eventAt returns the event at a place, or nil.
func (w *world) eventAt(at place) *event {
	for _, e := range w.history.all() {
		if e.what == produced && (place{e.part, e.offset}) == at {
			return w.event(e.n)
		}
	}
	return nil
}

// mend makes the service accept events that it refused.
func (s *service) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mended = true
}
