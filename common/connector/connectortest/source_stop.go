package connectortest

import (
	"context"
	"sync"
	"testing"

	"github.com/lsm/fiso/common/connector"
)

// SourceStopsAtOnce checks that Run returns nil at once if its context ended before
// the call.
func SourceStopsAtOnce(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	source := e.h.New(e)
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = source.Run(ctx, func(_ *connector.Assignment, ms []*connector.Message) {
			connector.SettleAll(ms, connector.ErrInterrupted)
		})
	}()
	e.closed("Run returns, its context having ended before", done)
	if err != nil {
		e.Errorf("Run returned an error, not nil: %v", err)
	}
}

// SourceEndsContexts checks that the context of a message ends when the source
// stops, so that a handler that waits for it returns.
func SourceEndsContexts(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	var wait gate
	s := e.start(func(d *delivery) {
		select {
		case <-d.ctx.Done():
		case <-wait.opened():
		}
		d.m.Settle(connector.ErrInterrupted)
	})
	e.Cleanup(wait.open) // for a source that never ends contexts
	in := inputs("m", 1, "a")
	e.h.Produce(e, in...)
	s.hasAll(in)
	s.cancel()
	e.closed("the context of a message ends when the source stops", s.find(in[0].Value).ctx.Done())
	s.stop()
}

// SourceStopsWithUnsettled checks that all messages that are handed back when the
// source stops are handed over again.
func SourceStopsWithUnsettled(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 4, "a", "b")
	s := e.start(e.handBack)
	e.h.Produce(e, in...)
	s.hasAll(in)
	s.stop()
	for _, d := range s.deliveries() {
		e.until("a message was settled before Run returned", d.m.IsSettled)
	}
	if f.Redelivers {
		again := e.start(settleAll)
		again.hasAll(in)
		again.inOrder(in)
		again.stop()
	}
}

// SourceStopsWithoutSettle checks that Run returns even if a message is never
// settled, and that a later call of Settle changes nothing.
func SourceStopsWithoutSettle(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 3, "a")
	s := e.start(settleNone)
	e.h.Produce(e, in...)
	s.hasAll(in)
	s.stop()
	for _, d := range s.deliveries() {
		d.m.Settle(nil)
	}
	if f.Redelivers {
		again := e.start(settleAll)
		again.hasAll(in)
		again.stop()
	}
}

// SourceGoesOn checks that a clean stop loses nothing and repeats nothing.
func SourceGoesOn(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	first, second := inputs("first", 6, "a", "b"), inputs("second", 6, "a", "b")
	s := e.start(settleAll)
	e.h.Produce(e, first...)
	s.hasAll(first)
	s.stop()
	if !f.Answers {
		e.h.Produce(e, second...)
	}
	again := e.start(settleAll)
	if f.Answers { // a source must run to answer
		e.h.Produce(e, second...)
	}
	again.hasAll(second)
	again.once()
	again.inOrder(second)
	if got := again.values(); len(got) != len(second) {
		e.Errorf("the second run was handed %q, want the second half alone", got)
	}
	again.stop()
}

// SourceIsHeldBack checks the back-pressure of a handler that blocks: it gets no
// more messages of the partition, and the source bounds how many it reads ahead.
func SourceIsHeldBack(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", max(64, 4*e.h.ReadAhead), "a")
	var wait gate
	s := e.start(func(d *delivery) {
		select {
		case <-wait.opened():
			d.m.Settle(nil)
		case <-d.ctx.Done():
			d.m.Settle(connector.ErrInterrupted)
		}
	})
	e.Cleanup(wait.open)
	e.h.Produce(e, in...)
	e.until("a message is handed over", func() bool { return len(s.deliveries()) > 0 })
	e.throughout("a handler that blocks holds the source back", func() bool {
		if len(s.deliveries()) > e.assignments(s) {
			return false
		}
		return e.h.Taken == nil || e.h.Taken(e) <= e.h.ReadAhead
	})
	wait.open()
	s.hasAll(in)
	s.inOrder(in)
	s.stop()
}

// SourceServesSideBySide checks that a handler that blocks one partition does not
// hold up another.
func SourceServesSideBySide(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	keys := make([]string, 32)
	for i, x := range inputs("key", len(keys), "") {
		keys[i] = x.Value
	}
	in := inputs("m", 2*len(keys), keys...)
	var wait gate
	var mu sync.Mutex
	var blocked *connector.Assignment
	var others []*delivery
	s := e.start(func(d *delivery) {
		mu.Lock()
		if blocked == nil {
			blocked = d.a
		}
		mine := blocked == d.a
		if !mine {
			others = append(others, d)
		}
		mu.Unlock()
		if mine {
			select {
			case <-wait.opened():
			case <-d.ctx.Done():
			}
		}
		d.m.Settle(nil)
	})
	e.Cleanup(wait.open)
	e.h.Produce(e, in...)
	e.until("messages of another partition are handed over while one is blocked", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(others) > 1
	})
	wait.open()
	s.hasAll(in)
	s.inOrder(in)
	s.stop()
}

// SourceReports checks that Status reports what is in flight, and no lag once all
// messages are settled. Status is called all the time.
func SourceReports(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 4, "a")
	s := e.start(settleNone)
	reporter, ok := s.source.(connector.Reporter)
	if !ok {
		e.Fatalf("%T is no connector.Reporter", s.source)
	}
	sum := func() (inFlight int, lag int64) {
		for _, p := range reporter.Status().Partitions {
			inFlight, lag = inFlight+p.InFlight, lag+max(p.Lag, 0)
		}
		return inFlight, lag
	}
	e.h.Produce(e, in...)
	s.hasAll(in)
	if f.Partitions {
		e.until("Status counts what is in flight and what lags", func() bool {
			inFlight, lag := sum()
			return inFlight == len(in) && lag == int64(len(in))
		})
	}
	for _, d := range s.deliveries() {
		d.m.Settle(nil)
		reporter.Status()
	}
	e.until("Status has no problem, nothing in flight and no lag once all is settled", func() bool {
		inFlight, lag := sum()
		return inFlight == 0 && lag == 0 && reporter.Status().Problem == ""
	})
	s.stop()
	reporter.Status() // must neither panic nor block after Run returned
}

// SourceReconnects checks that a source whose connections break goes on without help
// and loses nothing. It may hand messages over again.
func SourceReconnects(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	before, after := inputs("before", 5, "a", "b"), inputs("after", 5, "a", "b")
	s := e.start(settleAll)
	e.h.Produce(e, before...)
	s.hasAll(before)
	e.h.Disconnect(e)
	e.h.Produce(e, after...)
	s.hasAll(after)
	s.inOrder(append(before, after...))
	s.stop()
}

// gate blocks callers of wait until it is opened.
type gate struct {
	once sync.Once
	mu   sync.Mutex
	c    chan struct{}
}

func (g *gate) opened() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.c == nil {
		g.c = make(chan struct{})
	}
	return g.c
}

func (g *gate) open() {
	g.opened()
	g.once.Do(func() { close(g.c) })
}
