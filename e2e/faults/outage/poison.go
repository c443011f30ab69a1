package outage

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// poison is an event that always fails.
type poison struct {
	name, title string
	fail        answer
	alone       bool // there are no other events
	waits       bool // it becomes no dead letter, but waits until the sink accepts it
	twice       bool // a try may be two calls: if a reused connection ends without an answer, it may have been idle too long
}

// maxRetries is the default.
const maxRetries = 5

var poisons = []*poison{
	{name: "poison500", title: "one event among good ones is answered 500", fail: status(http.StatusInternalServerError, "")},
	{name: "poison503", title: "one event among good ones is answered 503", fail: status(http.StatusServiceUnavailable, "")},
	{name: "poisonbreaks", title: "one event among good ones breaks the connection", fail: breaks, twice: true},
	{name: "alone500", title: "one event on an idle topic is answered 500", fail: status(http.StatusInternalServerError, ""), alone: true},
	{name: "alone503", title: "one event on an idle topic is answered 503", fail: status(http.StatusServiceUnavailable, ""), alone: true, waits: true},
}

// goodOnes is the number of events before and next to the poison.
const goodOnes = 3000

func (p *poison) run(ctx context.Context, s *harness.Env) error {
	sink, err := newSink(ctx, s.Ledger)
	if err != nil {
		return err
	}
	defer sink.stop()
	if _, err := s.StartFile(ctx, p.name, file(s, "sink: {type: http, config: {"+address(sink)+"}}")); err != nil {
		return err
	}
	var calls atomic.Int64
	sink.answerBy(func(w http.ResponseWriter, r *http.Request, a ledger.Arrival) bool {
		if !p.is(a) {
			return false
		}
		calls.Add(1)
		return p.fail(w, r, a)
	})
	if p.alone {
		err = p.comeAlone(ctx, s, sink, &calls)
	} else {
		s.Produce(ctx, harness.Load{PerSecond: mostPerSecond, Total: goodOnes, Kind: func(n int) ledger.Kind {
			if n == mostPerSecond {
				return ledger.Fails
			}
			return ledger.Plain
		}})
		err = s.WaitProduced(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.Finish(ctx); err != nil {
		return err
	}
	if p.waits {
		return nil // comeAlone has already judged
	}
	return p.judge(s, int(calls.Load()))
}

// is reports whether an event is the poison: it is marked, or it is the second one of a topic
// where the poison waits.
func (p *poison) is(a ledger.Arrival) bool {
	return a.Data.Kind == ledger.Fails.String() || p.waits && a.Data.N == 1
}

func (p *poison) comeAlone(ctx context.Context, s *harness.Env, sink *sink, calls *atomic.Int64) error {
	if err := write(ctx, s, ledger.Plain); err != nil {
		return err
	}
	if !p.waits {
		return write(ctx, s, ledger.Fails)
	}
	s.Produce(ctx, harness.Load{Total: 1, Kind: plain})
	if err := s.WaitProduced(ctx); err != nil {
		return err
	}
	waited := s.Scaled(2*time.Minute, 10*time.Second)
	if err := s.Wait(ctx, waited); err != nil {
		return err
	}
	n := calls.Load()
	if v := s.Ledger.Verdict(); v.DeadLetters > 0 || n <= maxRetries+1 {
		return fmt.Errorf("%d dead letters after %d tries, want none after more than %d", v.DeadLetters, n, maxRetries+1)
	}
	sink.arrivals.returned(s.Ledger.Len())
	sink.answerBy(nil)
	if err := settled(ctx, s); err != nil {
		return err
	}
	_, last := sink.arrivals.afterReturn()
	s.Note("%d tries in %v and no dead letter; it arrived %.2f s after the return", n, waited, last.Seconds())
	if last > maxArrivalDelay && s.Scale >= timedScale {
		return fmt.Errorf("the event arrived %v after the return, want %v at most", last, maxArrivalDelay)
	}
	return nil
}

// write writes one event and waits until it is settled.
func write(ctx context.Context, s *harness.Env, k ledger.Kind) error {
	s.Produce(ctx, harness.Load{Total: 1, Kind: func(int) ledger.Kind { return k }})
	if err := s.WaitProduced(ctx); err != nil {
		return err
	}
	return settled(ctx, s)
}

func settled(ctx context.Context, s *harness.Env) error {
	return s.WaitUntil(ctx, "settling one event", time.Minute, func() bool { return len(s.Ledger.Unsettled(0)) == 0 })
}

// judge checks the number of calls. The first failure that may be an outage counts only if the
// sink answered for another event meanwhile, so there may be one more.
func (p *poison) judge(s *harness.Env, calls int) error {
	tries := maxRetries + 1
	most := tries + 1
	if p.twice {
		most *= 2
	}
	s.Note("a dead letter after %d calls", calls)
	if calls < tries || calls > most {
		return fmt.Errorf("a dead letter after %d calls, want %d to %d", calls, tries, most)
	}
	return nil
}
