package connector_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

// lines is a source: each line that comes from a channel is a message.
type lines struct {
	from  <-chan line
	drain time.Duration // how long to wait for messages in flight at the end
}

type line struct {
	number int64
	text   string
}

// maxUnsettled is how many messages may be in flight.
const maxUnsettled = 64

// Guarantees declares order only: the source cannot read a line twice.
func (s *lines) Guarantees() connector.Guarantees { return connector.Guarantees{Orders: true} }

func (s *lines) Run(ctx context.Context, handle connector.Handler) error {
	all := connector.NewAssignment(ctx, "lines") // one assignment for all lines
	inFlight := make(unsettled, maxUnsettled)
	defer inFlight.wait(s.drain)
	for {
		select {
		case inFlight <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		select {
		case next, more := <-s.from:
			if !more {
				<-inFlight
				return nil
			}
			m := &connector.Message{Value: []byte(next.text), Position: connector.Sequence("lines", next.number)}
			m.Bind(inFlight)
			handle(all, []*connector.Message{m}) // may block: this is the back-pressure
		case <-ctx.Done():
			<-inFlight
			return nil
		}
	}
}

// unsettled holds a token for each message in flight, and one for the next.
type unsettled chan struct{}

// Settled receives the result of a message. A source that can commit does so here, up to the first
// message without a nil; a source that can redeliver remembers here that it must.
func (u unsettled) Settled(*connector.Message, error) { <-u }

// wait returns when all messages are settled, or gives them up after a time.
func (u unsettled) wait(most time.Duration) {
	timeout := time.After(most)
	for range cap(u) {
		select {
		case u <- struct{}{}:
		case <-timeout:
			return
		}
	}
}

// printer is a sink: it writes each event as a line of JSON.
type printer struct {
	to     io.Writer
	busy   chan struct{} // holds a token while a call writes
	closed atomic.Bool
}

func newPrinter(to io.Writer) *printer { return &printer{to: to, busy: make(chan struct{}, 1)} }

func (s *printer) Send(ctx context.Context, e *cloudevent.Event) error {
	line, err := e.AppendJSON(nil)
	if err != nil {
		return err // *cloudevent.EncodeError is permanent: a retry cannot help
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case s.closed.Load():
		return connector.ErrClosed
	case ctx.Err() != nil: // select chooses at random if both are ready
		return ctx.Err()
	}
	if _, err := fmt.Fprintf(s.to, "%s\n", line); err != nil {
		return connector.AsUnavailable(err, 0) // the destination failed, not the event
	}
	return nil
}

// Close waits for the call that writes.
func (s *printer) Close(ctx context.Context) error {
	s.closed.Store(true)
	select {
	case s.busy <- struct{}{}:
		<-s.busy
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Example_author runs the code that README.md shows.
func Example_author() {
	from := make(chan line, 2)
	from <- line{1, "one"}
	from <- line{2, "two"}
	close(from)
	source, sink := &lines{from: from, drain: time.Second}, newPrinter(writerFunc(func(b []byte) { fmt.Print(string(b)) }))
	err := source.Run(context.Background(), connector.Each(func(ctx context.Context, m *connector.Message) {
		m.Settle(sink.Send(ctx, &cloudevent.Event{
			ID: m.Position.String(), Source: "/lines", Type: "line", DataContentType: "text/plain", Data: cloudevent.Bytes(m.Value),
		}))
	}))
	fmt.Println(err)
	// Output:
	// {"specversion":"1.0","id":"lines-1","source":"/lines","type":"line","datacontenttype":"text/plain","data":"one"}
	// {"specversion":"1.0","id":"lines-2","source":"/lines","type":"line","datacontenttype":"text/plain","data":"two"}
	// <nil>
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func TestLines_conforms(t *testing.T) {
	features := connectortest.Features{Guarantees: connector.Guarantees{Orders: true}}
	connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness {
		from, n := make(chan line, 10_000), int64(0) // a new place to read from, for each scenario
		return connectortest.SourceHarness{
			New: func(testing.TB) connector.Source { return &lines{from: from, drain: 100 * time.Millisecond} },
			Produce: func(_ testing.TB, inputs ...connectortest.Input) {
				for _, in := range inputs {
					n++
					from <- line{n, in.Value}
				}
			},
		}
	})
}

func TestPrinter_conforms(t *testing.T) {
	connectortest.RunSink(t, connectortest.Features{Unavailable: true}, func(t testing.TB) connectortest.SinkHarness {
		var p paper
		return connectortest.SinkHarness{
			New:      func(testing.TB) connector.Sink { return newPrinter(&p) },
			Received: p.events,
			Fail:     func(_ testing.TB, _ connector.Class, n int, _ time.Duration) { p.failures.Store(int64(n)) },
		}
	})
}

// paper is what a printer writes to in tests. Its next calls can be made to fail.
type paper struct {
	failures atomic.Int64
	mu       sync.Mutex
	text     bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	if p.failures.Add(-1) >= 0 {
		return 0, io.ErrClosedPipe
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// events reads back what was written.
func (p *paper) events(t testing.TB) []*cloudevent.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []*cloudevent.Event
	for text := range strings.Lines(p.text.String()) {
		e := new(cloudevent.Event)
		if err := cloudevent.ParseJSON([]byte(text), e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}
