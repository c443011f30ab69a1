package connectortest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

// shelf is a destination in memory. fault names what its sink does wrong; "" is
// nothing.
type shelf struct {
	fault string
	end   chan struct{}

	mu       sync.Mutex
	events   []*cloudevent.Event
	failures []error
	reject   string
	blocked  chan struct{} // nil, or closed when calls may go on
	broken   bool
	puts     int
}

func newShelf(t testing.TB, fault string) *shelf {
	d := &shelf{fault: fault, end: make(chan struct{})}
	t.Cleanup(func() { close(d.end) })
	return d
}

func (d *shelf) harness() connectortest.SinkHarness {
	return connectortest.SinkHarness{
		Timing: timing(d.fault),
		New:    func(testing.TB) connector.Sink { return &memSink{d: d} },
		Received: func(testing.TB) []*cloudevent.Event {
			d.mu.Lock()
			defer d.mu.Unlock()
			return slices.Clone(d.events)
		},
		Fail: func(_ testing.TB, class connector.Class, n int, after time.Duration) {
			d.mu.Lock()
			defer d.mu.Unlock()
			for range n {
				d.failures = append(d.failures, d.failure(class, after))
			}
		},
		Reject: func(_ testing.TB, id string) { d.mu.Lock(); defer d.mu.Unlock(); d.reject = id },
		Block: func(testing.TB) func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			c := make(chan struct{})
			d.blocked = c
			return sync.OnceFunc(func() { d.mu.Lock(); defer d.mu.Unlock(); d.blocked = nil; close(c) })
		},
		Disconnect: func(testing.TB) { d.mu.Lock(); defer d.mu.Unlock(); d.broken = true },
	}
}

func (d *shelf) failure(class connector.Class, after time.Duration) error {
	err := errors.New("the shelf fails")
	if d.fault == "marks permanent as temporary" && class == connector.Permanent {
		return err
	}
	switch class {
	case connector.Permanent:
		return connector.AsPermanent(err)
	case connector.Unavailable:
		return connector.AsUnavailable(err, 0)
	case connector.Blocked:
		return connector.AsBlocked(err)
	default:
		if d.fault == "forgets the delay" {
			after = 0
		}
		if d.fault == "asks for a delay by itself" {
			after += time.Second
		}
		return connector.AsTemporary(err, after)
	}
}

// put stores one event, as the destination would.
func (d *shelf) put(e *cloudevent.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		d.broken = d.fault == "stays broken"
		return errors.New("the connection broke")
	}
	if len(d.failures) > 0 {
		err := d.failures[0]
		d.failures = d.failures[1:]
		return err
	}
	if e.ID == d.reject {
		return connector.AsPermanent(errors.New("the shelf refuses it"))
	}
	kept := *e
	kept.Extensions = slices.Clone(e.Extensions)
	if d.fault != "keeps the data" {
		kept.Data = cloudevent.Bytes(bytes.Clone(e.Data.Bytes()))
	}
	notJSON := e.CheckData() != nil
	switch d.fault {
	case "believes data":
		if notJSON {
			kept.Type, kept.Source = "forged", "/bank"
		}
	case "tries what is not JSON again":
		if notJSON {
			return errors.New("not JSON")
		}
	case "loses extensions":
		kept.Extensions = nil
	case "changes the time":
		kept.Time = kept.Time.Add(time.Second)
	case "changes the data":
		kept.Data = cloudevent.Bytes(append(kept.Data.Bytes(), ' '))
	case "delivers twice":
		d.events = append(d.events, &kept)
	case "changes the event":
		e.Subject = "changed"
	case "makes events up":
		d.events = append(d.events, &cloudevent.Event{ID: kept.ID + "-made-up"})
	case "loses one in ten":
		if d.puts++; d.puts%10 == 0 {
			return nil
		}
	}
	d.events = append(d.events, &kept)
	return nil
}

// memSink delivers to a shelf.
type memSink struct {
	d     *shelf
	calls sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// begin counts a call under way, and fails if the sink is closed.
func (s *memSink) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && s.d.fault != "works after Close" {
		if s.d.fault == "hides that it is closed" {
			return errors.New("something else")
		}
		return connector.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

func (s *memSink) Send(ctx context.Context, e *cloudevent.Event) error {
	if s.d.fault == "fails always" {
		return errors.New("no")
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil && s.d.fault != "ignores the context" {
		if s.d.fault == "takes an interruption for a failure" {
			return connector.AsTemporary(err, 0)
		}
		return err
	}
	if err := s.waitTurn(ctx); err != nil {
		return err
	}
	err := s.d.put(e)
	if s.d.fault == "retries by itself" && err != nil {
		err = s.d.put(e)
	}
	return err
}

// waitTurn holds the call while the shelf is blocked.
func (s *memSink) waitTurn(ctx context.Context) error {
	s.d.mu.Lock()
	blocked := s.d.blocked
	s.d.mu.Unlock()
	done := ctx.Done()
	switch s.d.fault {
	case "ignores the context":
		done = nil
	case "returns before it is delivered":
		return nil
	}
	if blocked == nil {
		return nil
	}
	select {
	case <-blocked:
		return nil
	case <-done:
		return ctx.Err()
	case <-s.d.end:
		return errors.New("the scenario is over")
	}
}

func (s *memSink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	results := make([]error, len(events))
	var first error
	for i, e := range events {
		if results[i] = s.Send(ctx, e); results[i] != nil && first == nil {
			first = results[i]
		}
	}
	switch {
	case s.d.fault == "fails a batch as a whole" && first != nil:
		for i := range results {
			results[i] = first
		}
	case s.d.fault == "forgets the results" && first != nil:
		return nil
	case s.d.fault == "returns one result for all":
		return []error{first, nil, nil, nil, nil, nil}
	case s.d.fault == "marks the refused as temporary" && first != nil:
		for i := range results {
			if results[i] != nil {
				results[i] = errors.New("try again")
			}
		}
	case first == nil:
		return nil
	}
	return results
}

func (s *memSink) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again && s.d.fault == "fails the second Close" {
		return connector.ErrClosed
	}
	if s.d.fault == "does not wait when it closes" {
		return nil
	}
	idle := make(chan struct{})
	go func() { s.calls.Wait(); close(idle) }()
	if s.d.fault == "waits for ever" {
		<-idle
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// single hides the batch calls of a sink.
type single struct{ s *memSink }

func (s single) Send(ctx context.Context, e *cloudevent.Event) error { return s.s.Send(ctx, e) }
func (s single) Close(ctx context.Context) error                     { return s.s.Close(ctx) }
