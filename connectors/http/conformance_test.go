package http

import (
	"context"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

// destination is a server that a conformance scenario inspects and makes fail.
type destination struct {
	srv  *httptest.Server
	mode string

	mu     sync.Mutex
	events []*cloudevent.Event
	fail   int
	status int
	after  string
	reject string
	block  chan struct{} // nil: not blocked
}

func (d *destination) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d.mu.Lock()
	block := d.block
	d.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-r.Context().Done():
			return
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail > 0 {
		d.fail--
		if d.after != "" {
			w.Header().Set("Retry-After", d.after)
		}
		w.WriteHeader(d.status)
		return
	}
	d.take(w, r, body)
}

// take records the events of a request, except the rejected one.
func (d *destination) take(w nethttp.ResponseWriter, r *nethttp.Request, body []byte) {
	in := []*cloudevent.Event{new(cloudevent.Event)}
	var err error
	switch d.mode {
	case ModeBinary:
		_, err = cloudevent.FromHeaders(cloudevent.HTTPPrefix, func(yield func(string, []byte) bool) {
			for name, values := range r.Header {
				if !yield(name, []byte(values[0])) {
					return
				}
			}
		}, in[0])
		if len(body) > 0 {
			in[0].Data = cloudevent.Bytes(body)
		}
	case ModeBatch:
		var parts [][]byte
		parts, err = cloudevent.SplitBatch(body)
		in = make([]*cloudevent.Event, len(parts))
		for i, part := range parts {
			in[i] = new(cloudevent.Event)
			if err == nil {
				err = cloudevent.ParseJSON(part, in[i])
			}
		}
	default:
		err = cloudevent.ParseJSON(body, in[0])
	}
	if err != nil {
		w.WriteHeader(418)
		return
	}
	list := make([]result, len(in))
	for i, e := range in {
		if list[i].Status = 200; e.ID == d.reject {
			list[i].Status = 422
			continue
		}
		d.events = append(d.events, e)
	}
	w.Header().Set("Content-Type", ContentTypeResults)
	if d.mode != ModeBatch {
		w.WriteHeader(list[0].Status)
		return
	}
	writeJSON(w, 207, results{list})
}

func TestSink_conforms(t *testing.T) {
	for _, mode := range []string{ModeStructured, ModeBinary, ModeBatch} {
		t.Run(mode, func(t *testing.T) {
			features := connectortest.Features{Batch: true, Temporary: true, Permanent: true, Unavailable: true, RetryAfter: true, Reconnects: true}
			connectortest.RunSink(t, features, func(t testing.TB) connectortest.SinkHarness { return sinkHarness(t, mode) })
		})
	}
}

func sinkHarness(t testing.TB, mode string) connectortest.SinkHarness {
	d := &destination{mode: mode}
	d.srv = httptest.NewServer(d)
	t.Cleanup(d.srv.Close)
	return connectortest.SinkHarness{
		New: func(t testing.TB) connector.Sink {
			cfg := sinkConfig(d.srv.URL)
			cfg.Mode = mode
			s, err := NewSink(cfg, SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Received: func(testing.TB) []*cloudevent.Event {
			d.mu.Lock()
			defer d.mu.Unlock()
			return append([]*cloudevent.Event(nil), d.events...)
		},
		Fail: func(_ testing.TB, class connector.Class, n int, after time.Duration) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.fail, d.after = n, ""
			d.status = map[connector.Class]int{connector.Temporary: 500, connector.Permanent: 400, connector.Unavailable: 503}[class]
			if after > 0 {
				d.after = after.String()
				d.after = strings.TrimSuffix(d.after, "s")
			}
		},
		Reject: func(_ testing.TB, id string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.reject = id
		},
		Block: func(testing.TB) func() {
			gate := make(chan struct{})
			d.mu.Lock()
			d.block = gate
			d.mu.Unlock()
			return sync.OnceFunc(func() {
				d.mu.Lock()
				d.block = nil
				d.mu.Unlock()
				close(gate)
			})
		},
		Disconnect: func(testing.TB) { d.srv.CloseClientConnections() },
	}
}

// callers send events to a source by HTTP and record the answers.
type callers struct {
	url     chan string // of the newest source
	mu      sync.Mutex
	current string
	answers map[string]int // status by value
	wait    sync.WaitGroup
}

func (c *callers) post(t testing.TB, value, body string, headers ...string) {
	r, err := nethttp.NewRequestWithContext(context.WithoutCancel(t.Context()), "POST", c.address(), strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return // the source went away without an answer
	}
	defer func() { _ = resp.Body.Close() }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[value] = resp.StatusCode
}

func (c *callers) address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.current = <-c.url:
	default:
	}
	for c.current == "" {
		c.current = <-c.url
	}
	return c.current
}

// single posts each input separately, in binary mode.
func (c *callers) single(t testing.TB, inputs ...connectortest.Input) {
	for _, in := range inputs {
		c.wait.Go(func() {
			c.post(t, in.Value, in.Value, "Ce-Specversion", "1.0", "Ce-Id", in.Value, "Ce-Source", "/t", "Ce-Type", "t", "Ce-Partitionkey", in.Key)
		})
	}
}

// batch posts all inputs in one batch, in order.
func (c *callers) batch(t testing.TB, inputs ...connectortest.Input) {
	var events []*cloudevent.Event
	for _, in := range inputs {
		e := &cloudevent.Event{ID: in.Value, Source: "/t", Type: "t"}
		e.SetExtension("partitionkey", in.Key)
		events = append(events, e)
	}
	c.wait.Go(func() {
		c.post(t, "", string(written(cloudevent.AppendBatch(nil, events))), "Content-Type", cloudevent.ContentTypeBatch)
	})
}

// byID passes the id of an event as its value, which the scenarios compare.
type byID struct{ *Source }

func (s byID) Run(ctx context.Context, handle connector.Handler) error {
	return s.Source.Run(ctx, func(a *connector.Assignment, ms []*connector.Message) {
		for _, m := range ms {
			m.Value = []byte(m.ID)
		}
		handle(a, ms)
	})
}

func TestSource_conforms(t *testing.T) {
	harness := func(produce func(*callers, testing.TB, ...connectortest.Input)) connectortest.NewSource {
		return func(t testing.TB) connectortest.SourceHarness {
			c := &callers{url: make(chan string, 10), answers: map[string]int{}}
			t.Cleanup(c.wait.Wait)
			return connectortest.SourceHarness{
				New: func(t testing.TB) connector.Source {
					c.mu.Lock()
					c.current = ""
					c.mu.Unlock()
					s, err := NewSource(sourceConfig(), SourceOptions{
						DrainTimeout: 300 * time.Millisecond,
						Listening: func(a net.Addr) {
							c.url <- "http://" + a.String() + "/"
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					return byID{s}
				},
				Produce: func(t testing.TB, in ...connectortest.Input) { produce(c, t, in...) },
				Answer: func(_ testing.TB, value string) (ok, answered bool) {
					c.mu.Lock()
					defer c.mu.Unlock()
					status, answered := c.answers[value]
					return status == 200, answered
				},
			}
		}
	}
	t.Run("requests of one event", func(t *testing.T) {
		features := connectortest.Features{Keys: true, Answers: true, Reports: true}
		connectortest.RunSource(t, features, harness((*callers).single))
	})
	t.Run("requests of a batch", func(t *testing.T) {
		features := connectortest.Features{Guarantees: connector.Guarantees{Orders: true}, Keys: true, Reports: true}
		connectortest.RunSource(t, features, harness((*callers).batch))
	})
}
