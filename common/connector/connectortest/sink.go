package connectortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// sinkEnv is a running scenario of a sink.
type sinkEnv struct {
	env
	f    Features
	h    SinkHarness
	sink connector.Sink
}

// newSinkEnv makes a sink, which is closed at the latest when the scenario ends.
func newSinkEnv(t testing.TB, f Features, n NewSink) *sinkEnv {
	t.Helper()
	checkGoroutines(t)
	h := n(t)
	e := &sinkEnv{env: env{t, h.withDefaults()}, f: f, h: h, sink: h.New(t)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), e.timing.Timeout)
		defer cancel()
		if err := e.sink.Close(ctx); err != nil {
			t.Errorf("Close at the end: %v", err)
		}
	})
	return e
}

// event returns a complete and valid event with that id.
func event(id string) *cloudevent.Event {
	return &cloudevent.Event{
		ID: id, Source: "/connectortest", Type: "connectortest.event", Subject: "subject of " + id,
		Time:            time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC),
		DataContentType: "application/json", DataSchema: "https://example.com/schema.json",
		Extensions: []cloudevent.Extension{{Name: "tenant", Value: "größe 100%"}},
		Data:       cloudevent.Bytes([]byte(`{"id":"` + id + `","amount":1.10}`)),
		Key:        []byte("key of " + id),
	}
}

// send delivers an event within the timeout, and returns the error of Send.
func (e *sinkEnv) send(event *cloudevent.Event) error {
	ctx, cancel := context.WithTimeout(e.Context(), e.timing.Timeout)
	defer cancel()
	return e.sink.Send(ctx, event)
}

// sent delivers an event, and fails the scenario on an error.
func (e *sinkEnv) sent(event *cloudevent.Event) {
	e.Helper()
	if err := e.send(event); err != nil {
		e.Fatalf("Send of a good event to a good destination: %v", err)
	}
}

// received waits until the destination has exactly these events, each once.
func (e *sinkEnv) received(want ...*cloudevent.Event) {
	e.Helper()
	var got []*cloudevent.Event
	e.wait(func() bool { got = e.h.Received(e); return len(got) >= len(want) })
	byID := map[string]*cloudevent.Event{}
	for _, g := range got {
		if byID[g.ID] != nil {
			e.Errorf("event %q arrived twice", g.ID)
		}
		byID[g.ID] = g
	}
	for _, w := range want {
		g := byID[w.ID]
		if g == nil {
			e.Errorf("event %q did not arrive, though it was delivered", w.ID)
			continue
		}
		delete(byID, w.ID)
		if diff := difference(g, w); diff != "" {
			e.Errorf("event %q arrived changed: %s", w.ID, diff)
		}
	}
	for id := range byID {
		e.Errorf("event %q arrived, which was not delivered", id)
	}
}

// difference describes how the attributes or data of two events differ. It ignores
// keys and the order of extensions.
func difference(got, want *cloudevent.Event) string {
	if !got.Time.Equal(want.Time) {
		return fmt.Sprintf("time is %v, was %v", got.Time, want.Time)
	}
	if !bytes.Equal(got.Data.Bytes(), want.Data.Bytes()) {
		return fmt.Sprintf("data is %q, was %q", got.Data.Bytes(), want.Data.Bytes())
	}
	a, b := clone(got), clone(want)
	for _, e := range []*cloudevent.Event{a, b} {
		e.Time, e.Data, e.Key = time.Time{}, cloudevent.Data{}, nil
		slices.SortFunc(e.Extensions, func(x, y cloudevent.Extension) int { return bytes.Compare([]byte(x.Name), []byte(y.Name)) })
	}
	if !reflect.DeepEqual(a, b) {
		return fmt.Sprintf("%+v, was %+v", *a, *b)
	}
	return ""
}

// clone returns a deep copy.
func clone(e *cloudevent.Event) *cloudevent.Event {
	c := *e
	c.Extensions, c.Key = append([]cloudevent.Extension(nil), e.Extensions...), bytes.Clone(e.Key)
	c.Data = cloudevent.Bytes(bytes.Clone(e.Data.Bytes()))
	return &c
}

// SinkDelivers checks that events with every kind of data arrive once and
// unchanged, and that Send does not change them.
func SinkDelivers(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	text, binary, untyped, none, bare := event("text"), event("binary"), event("untyped"), event("none"), event("bare")
	text.DataContentType, text.Data = "text/plain", cloudevent.Bytes([]byte("ein \"Wort\"\nmit ü"))
	binary.DataContentType, binary.Data = "application/octet-stream", cloudevent.Bytes([]byte{0, 1, 0xfe, 0xff})
	untyped.DataContentType, untyped.Data = "", cloudevent.Bytes([]byte(`{"n":1}`))
	none.DataContentType, none.Data = "", cloudevent.Data{}
	*bare = cloudevent.Event{ID: "bare", Source: "/connectortest", Type: "t", DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`null`))}
	all := []*cloudevent.Event{event("json"), text, binary, untyped, none, bare}
	for _, x := range all {
		before := clone(x)
		e.sent(x)
		if !reflect.DeepEqual(clone(x), before) {
			e.Errorf("Send changed event %q to %+v", before.ID, x)
		}
	}
	e.received(all...)
}

// SinkDeliversConcurrently checks that Send is safe for concurrent use and
// that every event arrives once.
func SinkDeliversConcurrently(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	var all []*cloudevent.Event
	var wait sync.WaitGroup
	for worker := range 16 {
		var mine []*cloudevent.Event
		for i := range 8 {
			mine = append(mine, event(fmt.Sprintf("%d-%d", worker, i)))
		}
		all = append(all, mine...)
		wait.Go(func() {
			for _, x := range mine {
				if err := e.send(x); err != nil {
					e.Errorf("Send of event %q: %v", x.ID, err)
				}
			}
		})
	}
	wait.Wait()
	e.received(all...)
}

// SinkCopiesEvents checks that the caller may change an event once Send returned.
func SinkCopiesEvents(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	reused := event("first")
	first := clone(reused)
	e.sent(reused)
	memory := reused.Data.Bytes()
	for i := range memory {
		memory[i] = 'x'
	}
	for i := range reused.Key {
		reused.Key[i] = 'x'
	}
	second := event("second")
	reused.ID, reused.Subject, reused.Extensions[0].Value = second.ID, second.Subject, "changed"
	reused.Data = cloudevent.Bytes(append(memory[:0], `{"second":1}`...))
	second = clone(reused)
	e.sent(reused)
	e.received(first, second)
}

// SinkClassifies checks that the error of each kind of failure has its class, that
// the sink does not retry, and that it works again afterwards.
func SinkClassifies(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	var delivered []*cloudevent.Event
	for _, c := range []struct {
		class   connector.Class
		promise bool
	}{{connector.Temporary, f.Temporary}, {connector.Permanent, f.Permanent}, {connector.Unavailable, f.Unavailable}, {connector.Blocked, f.Blocked}} {
		if !c.promise {
			continue
		}
		e.h.Fail(e, c.class, 1, 0)
		err := e.send(event("fails-" + c.class.String()))
		if err == nil {
			e.Fatalf("Send returned nil, though the destination failed once (%v): did the sink retry by itself?", c.class)
		}
		if got := connector.ClassOf(err); got != c.class {
			e.Errorf("the class of %q is %v, want %v", err, got, c.class)
		}
		if after := connector.RetryAfter(err); after != 0 {
			e.Errorf("%q asks for a delay of %v, though the destination did not", err, after)
		}
		x := event("after-" + c.class.String())
		e.sent(x)
		delivered = append(delivered, x)
	}
	e.received(delivered...)
}

// SinkPassesDelayOn checks that the error holds the delay that the destination asks
// for.
func SinkPassesDelayOn(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	const asked = 7 * time.Second
	e.h.Fail(e, connector.Temporary, 1, asked)
	err := e.send(event("1"))
	if got := connector.RetryAfter(err); err == nil || got != asked {
		e.Errorf("Send returned %v, which asks for %v, want %v", err, got, asked)
	}
}

// SinkReconnects checks that a sink delivers again after its connections broke, once
// its caller retries.
func SinkReconnects(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	e.sent(event("before"))
	e.h.Disconnect(e)
	var err error
	after := event("after")
	if !e.wait(func() bool { err = e.send(after); return err == nil }) {
		e.Fatalf("Send fails %v after the connections broke: %v", e.timing.Timeout, err)
	}
	e.until("the event arrived", func() bool {
		return slices.ContainsFunc(e.h.Received(e), func(x *cloudevent.Event) bool { return x.ID == after.ID })
	})
}

// isClosed asserts that err is that of a closed sink.
func (e *sinkEnv) isClosed(call string, err error) {
	e.Helper()
	if !errors.Is(err, connector.ErrClosed) {
		e.Errorf("%s after Close returned %v, want connector.ErrClosed", call, err)
	}
}
