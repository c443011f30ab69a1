package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/connector"
)

// childAddress in the environment makes the test program a worker, for a test that kills it.
const childAddress = "FISO_TEMPORAL_CHILD"

func TestMain(m *testing.M) {
	if address := os.Getenv(childAddress); address != "" {
		if err := runChild(address); err != nil {
			fmt.Fprintln(os.Stderr, err) // and the test that waits for events fails
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// runChild runs a source that prints the id of each event before it settles it.
func runChild(address string) error {
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: address}, TaskQueue: "events", MaxInFlight: 32}
	s, err := NewSource(cfg, SourceOptions{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	return s.Run(context.Background(), func(_ *connector.Assignment, ms []*connector.Message) {
		for _, m := range ms {
			_, err := fmt.Fprintln(os.Stdout, m.ID)
			m.Settle(err)
		}
	})
}

// plainJSON is an argument as every SDK sends it.
func plainJSON(data string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(data)}
}

// eventJSON is a valid event.
func eventJSON(id, key string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/orders","type":"order.created","partitionkey":%q,"data":{"n":12345678901234567890}}`, id, key)
}

// runs is a source that runs in a test, with what it handed over.
type runs struct {
	t      testing.TB
	s      *Source
	cancel context.CancelFunc
	done   chan struct{}
	err    error

	mu  sync.Mutex
	got []*connector.Message
}

func sourceConfig(f *fakeTemporal) SourceConfig {
	return SourceConfig{ClientConfig: ClientConfig{Address: f.addr}, TaskQueue: "events", Heartbeat: 20 * time.Millisecond}
}

func newTestSource(t testing.TB, cfg SourceConfig, opts SourceOptions) *Source {
	t.Helper()
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = 300 * time.Millisecond
	}
	s, err := NewSource(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.acceptAfter, s.restart.Initial, s.restart.Max = 20*time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
	return s
}

// start runs a source until the test ends. handle may be nil: messages are only kept.
func start(t testing.TB, s *Source, handle func(*connector.Message)) *runs {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &runs{t: t, s: s, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = s.Run(ctx, func(_ *connector.Assignment, ms []*connector.Message) {
			for _, m := range ms {
				r.mu.Lock()
				r.got = append(r.got, m)
				r.mu.Unlock()
				if handle != nil {
					handle(m)
				}
			}
		})
	}()
	t.Cleanup(r.stop)
	return r
}

// stop ends Run, and fails the test unless it returns nil.
func (r *runs) stop() {
	r.cancel()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		r.t.Fatal("Run has not returned 20s after its context ended")
	}
	if r.err != nil {
		r.t.Errorf("Run returned %v, want nil", r.err)
	}
}

func (r *runs) messages() []*connector.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*connector.Message(nil), r.got...)
}

// first waits for the first message.
func (r *runs) first() *connector.Message {
	r.t.Helper()
	until(r.t, "a message is handed over", func() bool { return len(r.messages()) > 0 })
	return r.messages()[0]
}

// settle is a handler that settles each message with err.
func settle(err error) func(*connector.Message) { return func(m *connector.Message) { m.Settle(err) } }

// until waits until something has happened.
func until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	within(t, 15*time.Second, what, happened)
}

func within(t testing.TB, most time.Duration, what string, happened func() bool) {
	t.Helper()
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

// closed waits until a call has ended, and returns it.
func (f *fakeTemporal) closed(c *fakeCall) fakeCall {
	f.t.Helper()
	until(f.t, "the call "+c.id+" ends", func() bool { return f.look(c).closed })
	return f.look(c)
}

// outcome returns the outcome in the result of a call.
func (c *fakeCall) outcome(t testing.TB) string {
	t.Helper()
	ps := c.result.GetPayloads()
	if len(ps) != 1 {
		t.Fatalf("the result has %d values, want 1; failures: %v", len(ps), c.failures)
	}
	var r result
	if err := json.Unmarshal(ps[0].Data, &r); err != nil || string(ps[0].Metadata["encoding"]) != "json/plain" {
		t.Fatalf("the result %q (%q) is no json/plain: %v", ps[0].Data, ps[0].Metadata, err)
	}
	return r.Outcome
}

// lines is a log that a test reads.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var errNotDone = errors.New("secret cause of the flow")
