package connector_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// lines is a source: each line of a text is a message.
type lines struct{ from io.Reader }

// Guarantees declares order only: the source cannot read a line twice.
func (s *lines) Guarantees() connector.Guarantees { return connector.Guarantees{Orders: true} }

func (s *lines) Run(ctx context.Context, handle connector.Handler) error {
	text := connector.NewAssignment(ctx, "lines") // one assignment for all lines
	end := &end{}
	for n, in := int64(1), bufio.NewScanner(s.from); !text.Over() && in.Scan(); n++ {
		m := &connector.Message{Value: []byte(in.Text()), Position: connector.Sequence("lines", n)}
		m.Bind(end)
		end.unsettled.Add(1)
		handle(text, []*connector.Message{m}) // may block: this is the back-pressure
	}
	end.unsettled.Wait()
	return nil
}

// end receives the result of each message.
type end struct{ unsettled sync.WaitGroup }

func (e *end) Settled(m *connector.Message, err error) {
	if err != nil {
		fmt.Printf("%s was not done: %v\n", m.Position, err)
	}
	e.unsettled.Done()
}

// printer is a sink.
type printer struct{ to io.Writer }

func (s *printer) Send(_ context.Context, e *cloudevent.Event) error {
	line, err := e.AppendJSON(nil)
	if err != nil {
		return err // *cloudevent.EncodeError is permanent: a retry cannot help
	}
	if _, err := fmt.Fprintf(s.to, "%s\n", line); err != nil {
		return connector.AsUnavailable(err, 0) // the destination failed, not the event
	}
	return nil
}

func (s *printer) Close(context.Context) error { return nil }

// Example_author runs the code that README.md shows.
func Example_author() {
	source, sink := &lines{strings.NewReader("one\ntwo\n")}, &printer{to: writerFunc(func(b []byte) { fmt.Print(string(b)) })}
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
