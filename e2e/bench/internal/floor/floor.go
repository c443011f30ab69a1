// Package floor is the minimal Go program for the work of the benchmark's flow. It is written by
// hand for this flow, without configuration, retries, dead letters and metrics. It keeps what no
// program could omit: the order by key, and a commit of an offset only when every record up to it
// is done.
package floor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Modes of the floor: the kind of sink.
const (
	Structured = "structured" // one POST per event
	Binary     = "binary"     // one POST per event, with attributes in headers
	Batch      = "batch"      // JSON arrays of up to 100 events
	Kafka      = "kafka"      // another topic
	Stdout     = "stdout"     // lines
)

// Config configures one run.
type Config struct {
	Mode                   string
	Brokers                []string
	Topic, Group, OutTopic string
	URL                    string
	Workers                int // concurrent requests, for HTTP
	Filter                 bool
	Unordered              bool   // ignore the order of keys, so that every worker is busy
	Metrics                string // address of a page with the number of allocations
}

// sink delivers records. It marks each record done in its batch after delivery.
type sink interface {
	deliver(ctx context.Context, b *batch, records []*kgo.Record) error
	io.Closer
}

// Run reads the topic until ctx ends, and commits what is done.
func Run(ctx context.Context, cfg Config, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	page, err := serve(ctx, cfg.Metrics)
	if err != nil {
		return err
	}
	defer page.Close() //nolint:errcheck // the process ends
	// The fastest level of zstd, as in connectors/kafka.
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(cfg.Topic), kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second), kgo.DisableClientMetrics(),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)), kgo.ProducerLinger(0),
	)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	defer cl.Close()
	fail := func(err error) { cancel(err) }
	var s sink
	switch cfg.Mode {
	case Kafka:
		s = &topic{cl: cl, to: cfg.OutTopic, filter: cfg.Filter, fail: fail}
	case Stdout:
		s = &lines{w: out, filter: cfg.Filter}
	default:
		s = newPoster(cfg, fail)
	}
	done := make(chan *batch, 8)
	stopped, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		commit(cl, done, stopped)
	}()
	if err := poll(ctx, cl, s, done); err != nil {
		cancel(err)
	}
	close(done)
	err = s.Close()
	close(stopped)
	<-finished
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) || err != nil {
		return errors.Join(err, cause)
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	return cl.CommitMarkedOffsets(last)
}

// poll passes fetched records to the sink until ctx ends.
func poll(ctx context.Context, cl *kgo.Client, s sink, done chan<- *batch) error {
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("floor: fetch: %w", err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		b := newBatch(fetches)
		select {
		case done <- b:
		case <-ctx.Done():
			return nil
		}
		for iter := range fetches.RecordsAll() {
			b.all = append(b.all, iter)
		}
		if err := s.deliver(ctx, b, b.all); err != nil {
			return err
		}
	}
}

// serve serves the number of allocations like fiso-flow does.
func serve(ctx context.Context, addr string) (io.Closer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "go_memstats_mallocs_total %d\n", m.Mallocs)
	})}
	go srv.Serve(l) //nolint:errcheck // until it is closed
	return srv, nil
}
