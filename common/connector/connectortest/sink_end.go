package connectortest

import (
	"context"
	"sync"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// SinkStopsWithContext checks that Send returns promptly with an interruption, not a
// failure, when its context ends: before the call and, if the harness can block the
// destination, during it.
func SinkStopsWithContext(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	ended, cancel := context.WithCancel(e.Context())
	cancel()
	if err := e.sink.Send(ended, event("never")); connector.ClassOf(err) != connector.Interrupted {
		e.Errorf("Send with a context that had ended returned %v, which is %v, want an interruption", err, connector.ClassOf(err))
	}
	if e.h.Block == nil {
		return
	}
	release := e.h.Block(e)
	e.Cleanup(release)
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	call := e.call(ctx, event("blocked"))
	e.throughout("a call that the destination holds is under way", func() bool { return !call.returned() })
	cancel()
	e.closed("Send returns when its context ends", call.done)
	if got := connector.ClassOf(call.err); call.err == nil || got != connector.Interrupted {
		e.Errorf("Send returned %v when its context ended, which is %v, want an interruption", call.err, got)
	}
}

// SinkCloses checks that Close may be called twice and concurrently, and that
// nothing is delivered after it.
func SinkCloses(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	x := event("before")
	e.sent(x)
	ctx, cancel := context.WithTimeout(e.Context(), e.timing.Timeout)
	defer cancel()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if err := e.sink.Close(ctx); err != nil {
				e.Errorf("Close: %v", err)
			}
		})
	}
	wait.Wait()
	if err := e.sink.Close(ctx); err != nil {
		e.Errorf("Close a second time: %v", err)
	}
	e.isClosed("Send", e.send(event("after")))
	if f.Batch {
		e.checkBatch(e.batch(event("after-1"), event("after-2")), 2, func(_ int, err error) { e.isClosed("SendBatch", err) })
	}
	e.received(x)
}

// SinkWaitsForCalls checks that Close waits for calls under way, but no longer than
// its context allows.
func SinkWaitsForCalls(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	if e.h.Block == nil {
		return
	}
	release := e.h.Block(e)
	e.Cleanup(release)
	x := event("under-way")
	call := e.call(e.Context(), x)
	e.throughout("a call that the destination holds is under way", func() bool { return !call.returned() })

	closing := make(chan struct{})
	var err error
	go func() {
		defer close(closing)
		ctx, cancel := context.WithTimeout(e.Context(), e.timing.Timeout)
		defer cancel()
		err = e.sink.Close(ctx)
	}()
	e.throughout("Close waits for a call under way", func() bool { return !isClosed(closing) })
	release()
	e.closed("Close returns once the call is over", closing)
	e.closed("the call returns", call.done)
	if err != nil || call.err != nil {
		e.Errorf("Close returned %v, and the call under way %v", err, call.err)
	}
	e.received(x)
	e.closesInTime(n)
}

// closesInTime checks Close with a context that ends before the call under way does.
func (e *sinkEnv) closesInTime(n NewSink) {
	e.Helper()
	h := n(e)
	sink := h.New(e)
	release := h.Block(e)
	e.Cleanup(release)
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	other := &sinkEnv{env: e.env, f: e.f, h: h, sink: sink}
	call := other.call(ctx, event("stuck"))
	e.throughout("a call that the destination holds is under way", func() bool { return !call.returned() })
	ended, end := context.WithCancel(e.Context())
	end()
	closing := make(chan struct{})
	go func() {
		defer close(closing)
		_ = sink.Close(ended) // an error is allowed: Close was cut short
	}()
	e.closed("Close returns when its context ends, whatever is under way", closing)
	cancel()
	release()
	e.closed("the call returns", call.done)
}

// sending is a running call of Send.
type sending struct {
	done chan struct{}
	err  error // valid once done is closed
}

func (s *sending) returned() bool { return isClosed(s.done) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// call starts to send an event.
func (e *sinkEnv) call(ctx context.Context, x *cloudevent.Event) *sending {
	s := &sending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = e.sink.Send(ctx, x)
	}()
	return s
}

// batch sends events in one call.
func (e *sinkEnv) batch(events ...*cloudevent.Event) []error {
	e.Helper()
	sink, ok := e.sink.(connector.BatchSink)
	if !ok {
		e.Fatalf("%T is no connector.BatchSink", e.sink)
	}
	ctx, cancel := context.WithTimeout(e.Context(), e.timing.Timeout)
	defer cancel()
	return sink.SendBatch(ctx, events)
}

// checkBatch asserts that there is one result for each of n events, and calls check
// with each result.
func (e *sinkEnv) checkBatch(results []error, n int, check func(i int, err error)) {
	e.Helper()
	if results == nil {
		results = make([]error, n)
	}
	if len(results) != n {
		e.Fatalf("SendBatch returned %d results for %d events", len(results), n)
	}
	for i, err := range results {
		check(i, err)
	}
}

// SinkDeliversBatches checks that all events of batches of any size arrive.
func SinkDeliversBatches(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	var all []*cloudevent.Event
	for size, prefix := range []string{"", "one", "two", "three-", "four-"} {
		var events []*cloudevent.Event
		for i := range size {
			events = append(events, event(prefix+string(rune('a'+i))))
		}
		e.checkBatch(e.batch(events...), size, func(i int, err error) {
			if err != nil {
				e.Errorf("event %d of a batch of %d: %v", i+1, size, err)
			}
		})
		all = append(all, events...)
	}
	e.received(all...)
}

// SinkTellsBatchApart checks that when one event of a batch is refused, it alone has
// an error and the others are delivered.
func SinkTellsBatchApart(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	events := []*cloudevent.Event{event("1"), event("2"), event("refused"), event("4")}
	e.h.Reject(e, "refused")
	e.checkBatch(e.batch(events...), len(events), func(i int, err error) {
		switch {
		case i != 2 && err != nil:
			e.Errorf("event %d, which is good, failed with its neighbour: %v", i+1, err)
		case i == 2 && err == nil:
			e.Errorf("the event that was refused counts as delivered")
		case i == 2 && connector.ClassOf(err) != connector.Permanent:
			e.Errorf("the class of %q is %v, want permanent", err, connector.ClassOf(err))
		}
	})
	e.received(events[0], events[1], events[3])
}
