package stdout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

func event(data string) *cloudevent.Event {
	return &cloudevent.Event{ID: "orders-0-1", Source: "fiso-flow/orders", Type: "fiso.event", Data: []byte(data)}
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
	if cap(s.buf) != 0 {
		t.Errorf("keeps %d bytes", cap(s.buf))
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestSink_errors(t *testing.T) {
	err := New(full{}).Send(t.Context(), event(`1`))
	if err == nil || connector.ClassOf(err) != connector.Temporary || !strings.Contains(err.Error(), "no space left") {
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
}
