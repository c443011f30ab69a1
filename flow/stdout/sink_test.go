package stdout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

func event(data string) *cloudevent.Event {
	return &cloudevent.Event{ID: "orders-0-1", Source: "fiso-flow/orders", Type: "fiso.event", DataContentType: "application/json", Data: cloudevent.Bytes([]byte(data))}
}

func TestSink_writesOneLineAnEventHoweverManySend(t *testing.T) {
	var out bytes.Buffer
	s := New(&out)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := s.Send(t.Context(), event(`{"a":1}`)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 50 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		var e struct {
			ID   string          `json:"id"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal([]byte(l), &e); err != nil || e.ID != "orders-0-1" || string(e.Data) != `{"a":1}` {
			t.Fatalf("line %q: %v", l, err)
		}
	}
}

func TestSink_keepsNoHugeBuffer(t *testing.T) {
	s := New(&bytes.Buffer{})
	if err := s.Send(t.Context(), event(`"`+strings.Repeat("x", 2<<20)+`"`)); err != nil {
		t.Fatal(err)
	}
	if l := s.lines.Get().(*lines); cap(l.bytes) > maxKeptBuffer {
		t.Errorf("keeps %d bytes", cap(l.bytes))
	}
}

// writes is a writer that records each call and accepts at most room bytes.
type writes struct {
	calls []string
	room  int
}

func (w *writes) Write(b []byte) (int, error) {
	n := min(len(b), w.room)
	w.calls = append(w.calls, string(b[:n]))
	w.room -= n
	if n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func batch(n int) (events []*cloudevent.Event, lines []string) {
	for i := range n {
		e := event(fmt.Sprint(i))
		events = append(events, e)
		line, err := e.AppendJSON(nil)
		if err != nil {
			panic(err)
		}
		lines = append(lines, string(line)+"\n")
	}
	return events, lines
}

func TestSink_aBatchIsOneWrite(t *testing.T) {
	w := &writes{room: 1 << 20}
	s := New(w)
	events, lines := batch(100)
	if errs := s.SendBatch(t.Context(), events); errs != nil {
		t.Fatal(errs)
	}
	if want := strings.Join(lines, ""); len(w.calls) != 1 || w.calls[0] != want {
		t.Errorf("%d writes:\n%q, want one:\n%q", len(w.calls), w.calls, want)
	}
	if errs := s.SendBatch(t.Context(), nil); errs != nil || len(w.calls) != 1 {
		t.Errorf("a batch of none: %v, %d writes", errs, len(w.calls))
	}
}

func TestSink_whatOfABatchIsOutIsDelivered(t *testing.T) {
	events, lines := batch(3)
	for _, tc := range []struct {
		name      string
		room      int
		delivered int
		next      string // written before the next line
	}{
		{"nothing", 0, 0, ""},
		{"half a line", 10, 0, "\n"},
		{"one line", len(lines[0]), 1, ""},
		{"all but the last end of line", len(lines[0]+lines[1]+lines[2]) - 1, 2, "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &writes{room: tc.room}
			s := New(w)
			for i, err := range s.SendBatch(t.Context(), events) {
				if i < tc.delivered && err != nil {
					t.Errorf("event %d, whose line is out: %v", i, err)
				}
				if i >= tc.delivered && (connector.ClassOf(err) != connector.Unavailable || !strings.Contains(fmt.Sprint(err), "no space left")) {
					t.Errorf("event %d, whose line is not: %v", i, err)
				}
			}
			if err := s.Send(t.Context(), events[0]); err == nil {
				t.Error("sent to a writer that is still full")
			}
			w.room, w.calls = 1<<20, nil
			if err := s.Send(t.Context(), events[0]); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(w.calls, ""); got != tc.next+lines[0] {
				t.Errorf("then wrote %q, want %q", got, tc.next+lines[0])
			}
		})
	}
}

// U1: an event that cannot be encoded is refused alone, and no part of it is written.
func TestSink_refusesTheGuiltyAlone(t *testing.T) {
	for _, room := range []int{1 << 20, 0} {
		w := &writes{room: room}
		events, lines := batch(3)
		events[1].Data = cloudevent.Bytes([]byte(`1,"type":"refund.approved","source":"/bank"`))
		errs := New(w).SendBatch(t.Context(), events)
		if len(errs) != 3 {
			t.Fatalf("%d errors", len(errs))
		}
		for i, err := range errs {
			_, guilty := errors.AsType[*cloudevent.EncodeError](err)
			if guilty != (i == 1) || (err == nil) != (i != 1 && room > 0) || guilty && connector.ClassOf(err) != connector.Permanent {
				t.Errorf("room %d, event %d: %v", room, i, err)
			}
		}
		if got := strings.Join(w.calls, ""); room > 0 && got != lines[0]+lines[2] {
			t.Errorf("wrote %q", got)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestSink_errors(t *testing.T) {
	err := New(full{}).Send(t.Context(), event(`1`))
	if err == nil || connector.ClassOf(err) != connector.Unavailable || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("writer's error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(full{}).Send(ctx, event(`1`)); connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("cancelled: %v", err)
	}
	s := New(full{})
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Send(t.Context(), event(`1`)); !errors.Is(err, connector.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if errs := s.SendBatch(t.Context(), []*cloudevent.Event{event(`1`), event(`2`)}); len(errs) != 2 || !errors.Is(errs[1], connector.ErrClosed) {
		t.Errorf("a batch, closed: %v", errs)
	}
}
