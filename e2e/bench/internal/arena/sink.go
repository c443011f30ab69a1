package arena

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/valyala/fasthttp"

	"github.com/lsm/fiso/common/cloudevent"
)

// Sink is an HTTP server that counts events of every mode. It serves one run after the other.
type Sink struct {
	URL   string
	srv   fasthttp.Server
	tally atomic.Pointer[Tally]
	delay atomic.Int64
}

// NewSink starts a sink on a free port.
func NewSink(ctx context.Context) (*Sink, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the sink: %w", err)
	}
	s := &Sink{URL: "http://" + l.Addr().String() + "/callbacks/order-result"}
	s.srv.Handler = s.handle
	s.srv.NoDefaultDate, s.srv.NoDefaultServerHeader = true, true
	go s.srv.Serve(l) //nolint:errcheck // until it is closed
	return s, nil
}

// Close stops the sink.
func (s *Sink) Close() error { return s.srv.Shutdown() }

// Begin counts for t from now on, and delays each response by delay.
func (s *Sink) Begin(t *Tally, delay time.Duration) {
	s.delay.Store(int64(delay))
	s.tally.Store(t)
}

func (s *Sink) handle(c *fasthttp.RequestCtx) {
	t := s.tally.Load()
	if d := time.Duration(s.delay.Load()); d > 0 {
		<-time.After(d)
	}
	body := c.PostBody()
	switch {
	case bytes.HasPrefix(c.Request.Header.ContentType(), []byte(cloudevent.ContentTypeBatch)):
		events, err := cloudevent.SplitBatch(body)
		if err != nil {
			c.SetStatusCode(fasthttp.StatusBadRequest)
			return
		}
		for _, e := range events {
			t.Event(e)
		}
	case len(c.Request.Header.Peek("ce-id")) > 0:
		h := &c.Request.Header
		t.Event(body, h.Peek("ce-specversion"), h.Peek("ce-id"), h.Peek("ce-source"), h.Peek("ce-type"), h.Peek("ce-subject"),
			h.Peek("ce-time"), h.ContentType(), h.Peek("Idempotency-Key"))
	default:
		t.Event(body, c.Request.Header.ContentType(), c.Request.Header.Peek("Idempotency-Key"))
	}
}

// Lines counts the events of in, one per line.
func Lines(t *Tally, in io.Reader) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events on stdout: %w", err)
		}
		t.Event(bytes.TrimSuffix(line, []byte("\n")))
	}
}

// Drain counts the events of a topic until ctx ends.
func Drain(ctx context.Context, t *Tally, brokers []string, topic string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	defer cl.Close()
	for ctx.Err() == nil {
		for r := range cl.PollFetches(ctx).RecordsAll() {
			slices.SortFunc(r.Headers, func(a, b kgo.RecordHeader) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
			attributes := [][]byte{r.Key}
			for _, h := range r.Headers {
				attributes = append(attributes, []byte(h.Key), h.Value)
			}
			t.Event(r.Value, attributes...)
		}
	}
	return nil
}
