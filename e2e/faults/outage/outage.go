// Package outage makes the sink unavailable for ten minutes while events keep coming, in many
// ways, each with its own flow. The scenario proves that an outage makes no dead letters: after
// the first seconds one event at a time probes the sink, and everything is delivered in order once
// the sink is back. It also proves that a single event that always fails becomes a dead letter,
// whatever its failure is.
package outage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "outage", Title: "outages of the sink for ten minutes, of every kind", Parts: parts()}

const (
	// maxInterval is set in every flow. With the default of 30 s, a probe could begin up to 30 s
	// after the return.
	maxInterval = time.Second
	// maxArrivalDelay is how long after the return all waiting events must have arrived.
	maxArrivalDelay = 2 * time.Second
	// timedScale is the least scale at which a late arrival is a fault. A shorter form runs next to
	// other tests, where it says nothing about the flow.
	timedScale = 0.1
	// settling is how long after the start of an outage calls may be in flight that began before
	// it, or before the gate closed.
	settling = 5 * time.Second
	// waiting is roughly the number of events that wait at the return: what a machine with two
	// busy cores delivers in a second. A short form runs next to other tests and has fewer.
	waiting, shortWaiting = 2000, 600
	// mostPerSecond limits the rate of events.
	mostPerSecond = 200
)

var errSkipped = errors.New("skipped")

func parts() (all []harness.Scenario) {
	add := func(name, title string, run func(ctx context.Context, s *harness.Env) error) {
		// The returns are at different times, so that the flows do not deliver at once.
		apart := time.Duration(len(all)) * 3 * time.Second
		all = append(all, harness.Scenario{Name: "outage-" + name, Title: title, Run: func(ctx context.Context, s *harness.Env) error {
			if err := s.Wait(ctx, apart); err != nil {
				return err
			}
			return run(ctx, s)
		}})
	}
	for _, p := range poisons {
		add(p.name, p.title, p.run)
	}
	add("two", "one of two sinks refuses connections", runTwo)
	add("kafka", "the broker of a kafka sink is killed", runKafka)
	for _, k := range kinds {
		add(k.name, k.title, k.run)
	}
	return all
}

func (k *kind) run(ctx context.Context, s *harness.Env) error {
	sink, err := newSink(ctx, s.Ledger)
	if err != nil {
		return err
	}
	defer sink.stop()
	settings := address(sink)
	if k.prepare != nil {
		settings, err = k.prepare(ctx, s, sink)
		if errors.Is(err, errSkipped) {
			s.Note("%v", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return k.outage(ctx, s, sink, file(s, "sink: {type: http, config: {"+settings+"}}"), func() error { return nil })
}

// outage starts a flow, makes the sink unavailable and brings it back. It calls check at the end
// of the outage.
func (k *kind) outage(ctx context.Context, s *harness.Env, sink *sink, flow string, check func() error) error {
	observeFrom := settling + k.maxTryTime
	duration := s.Scaled(10*time.Minute, observeFrom+5*time.Second)
	perSecond := min(mostPerSecond, max(1, int(waiting/duration.Seconds())))
	if s.Scale < timedScale {
		perSecond = int(shortWaiting / duration.Seconds())
	}
	if k.fullRate {
		perSecond = mostPerSecond
	}
	m, err := s.StartFile(ctx, k.name, flow)
	if err != nil {
		return err
	}
	s.Produce(ctx, harness.Load{PerSecond: perSecond, Backlog: 1 << 30, Kind: plain})
	if err := s.WaitDelivered(ctx, 10); err != nil {
		return err
	}
	s.Fault(k.title, 1)
	if err := k.begin(ctx, s, sink); err != nil {
		return err
	}
	delivered := s.Ledger.Count()
	if err := s.Wait(ctx, observeFrom); err != nil {
		return err
	}
	sink.watch()
	tries := m.Metric(ctx, "fiso_flow_sink_errors_total")
	if err := s.Wait(ctx, duration-observeFrom); err != nil {
		return err
	}
	calls, conns := sink.watched()
	tries = m.Metric(ctx, "fiso_flow_sink_errors_total") - tries
	if problem := m.Problem(ctx); !k.triesNeverFail && !strings.Contains(problem, "the sink is unavailable") {
		return fmt.Errorf("/readyz?verbose does not say that the sink is unavailable: %s", problem)
	}
	if err := check(); err != nil {
		return err
	}
	waits := s.Ledger.Len()
	sink.arrivals.returned(waits)
	if err := k.end(ctx, s, sink); err != nil {
		return err
	}
	if err := s.WaitUntil(ctx, "delivering what waited", 5*time.Minute, func() bool { return s.Ledger.Count() >= waits }); err != nil {
		return err
	}
	if err := s.Finish(ctx); err != nil {
		return err
	}
	return k.judge(s, sink, observed{duration, perSecond, waits - delivered, calls, conns, int(tries)})
}

// observed is what was counted during an outage.
type observed struct {
	duration  time.Duration
	perSecond int
	waited    int // events
	calls     int // most at once, after the first seconds
	conns     int // most at once, after the first seconds
	tries     int // in total, after the first seconds
}

func (k *kind) judge(s *harness.Env, sink *sink, o observed) error {
	first, last := sink.arrivals.afterReturn()
	inFlight, atOnce := o.calls, fmt.Sprint(o.calls)
	switch {
	case k.noCallsSeen:
		inFlight, atOnce = 0, "unknown"
	case k.connections:
		inFlight, atOnce = o.conns, fmt.Sprint(o.conns)
	}
	s.Note("away for %.1f min at %d events/s; after the first %v: in flight at once: %s, tries: %d; "+
		"%d events waited, the first arrived %.2f s after the return, the last %.2f s",
		o.duration.Minutes(), o.perSecond, settling+k.maxTryTime, atOnce, o.tries, o.waited, first.Seconds(), last.Seconds())
	// One probe at a time, each after a backoff of at least four fifths of maxInterval, and one
	// more at each end.
	most := int((o.duration-settling-k.maxTryTime)/(maxInterval*4/5)) + 2
	var faults []error
	if inFlight > 1 {
		faults = append(faults, fmt.Errorf("%d calls were in flight at once, want one probe at most", inFlight))
	}
	if o.tries > most || o.tries == 0 && !k.triesNeverFail {
		faults = append(faults, fmt.Errorf("the sink was tried %d times after the first %v, want 1 to %d", o.tries, settling+k.maxTryTime, most))
	}
	latest, which := last, "last"
	if k.fullRate {
		latest, which = first, "first"
	}
	if limit := maxArrivalDelay + k.noticeDelay; latest > limit && s.Scale >= timedScale {
		faults = append(faults, fmt.Errorf("the %s event that waited arrived %v after the return, want %v at most", which, latest, limit))
	}
	return errors.Join(faults...)
}

func plain(int) ledger.Kind { return ledger.Plain }
