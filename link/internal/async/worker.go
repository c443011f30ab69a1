package async

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// Config is what a Worker is made of.
type Config struct {
	Target  *target.Target
	Brokers kafka.ClientConfig
	// Deliver makes a call: proxy.Proxy.Deliver.
	Deliver func(ctx context.Context, w call.ResponseWriter, t *target.Target, r *call.Request) error
	// Drain is how long what is under way may take when the worker ends, or a
	// partition is taken away.
	Drain time.Duration
	Log   *slog.Logger
	// Buried hears of each dead letter that was stored, by its code; Unwritten
	// of each try to store one, or a reply, that failed.
	Buried    func(code string)
	Unwritten func(what string)
	// Gap hears of accepted calls that the topic no longer had when it was read.
	// It must not block.
	Gap func()
}

// What Unwritten is told.
const (
	DeadLetter = "dead letter"
	Reply      = "reply"
)

// queue is how many messages may be at hand for each that may be at work.
const queue = 4

// hold is the wait before a dead letter or a reply is tried again.
var hold = backoff.Policy{Initial: 200 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.2}

// silence is how long Kafka may say nothing about a dead letter or a reply, at
// most, before it is told of.
const silence = 15 * time.Second

// Worker makes the calls of one target that were accepted.
type Worker struct {
	Config
	source *kafka.Source
	store  *Store // of dead letters and replies
	lanes  *lanes
	places chan struct{} // one for each call under way, until its answer is stored
	well   atomic.Int64  // calls that the target answered
	held   held
	line   line
}

// NewWorker connects to nothing; Close gives back what it holds.
func NewWorker(c Config) (*Worker, error) {
	a, name := c.Target.Spec.Async, c.Target.Spec.Name
	const least = 30 * time.Second // half of what the connector has by itself
	source, err := kafka.NewSource(kafka.SourceConfig{
		ClientConfig: c.Brokers, Topic: a.Topic, ConsumerGroup: a.Group(name),
		StartOffset:      "earliest",              // what was accepted before the first worker began is not skipped
		RebalanceTimeout: 2 * max(c.Drain, least), // so that the drain may take as long as it says
		MaxBufferedBytes: 8 << 20, FetchMaxBytes: 4 << 20,
	}, kafka.SourceOptions{Logger: c.Log, Window: queue * a.MaxInFlight, DrainTimeout: c.Drain, OnGap: func(kafka.Gap) { c.Gap() }})
	if err != nil {
		return nil, err
	}
	store, err := NewStore(c.Brokers, a.Timeout, true, c.Log)
	if err != nil {
		return nil, err
	}
	w := &Worker{Config: c, source: source, store: store, places: make(chan struct{}, a.MaxInFlight), line: line{most: a.StopTheLine.Consecutive}}
	w.lanes = newLanes(queue*a.MaxInFlight, w.handle)
	return w, nil
}

// Run makes calls until ctx ends, and then until those under way are over, or
// the drain timeout is; what was not begun is handed back.
func (w *Worker) Run(ctx context.Context) error {
	defer w.lanes.wait()
	return w.source.Run(ctx, connector.Each(func(ctx context.Context, m *connector.Message) {
		if !w.lanes.put(ctx, m) {
			m.Settle(connector.ErrInterrupted)
		}
	}))
}

// Close waits for what is still written, until ctx ends. Run is over, or never
// was called.
func (w *Worker) Close(ctx context.Context) error { return w.store.Close(ctx) }

// Check tries what the worker needs, step by step, and writes nothing.
func (w *Worker) Check(ctx context.Context) []connector.Step { return w.source.Check(ctx) }

// Status is how the worker stands. It is cheap, and safe for concurrent use.
func (w *Worker) Status() Status {
	s := Status{Status: w.source.Status(), Held: w.held.count()}
	for _, reason := range []string{w.held.reason(), w.held.away()} {
		if reason == "" {
			continue
		}
		if s.Problem != "" {
			s.Problem += "; "
		}
		s.Problem += reason
	}
	return s
}

// Status is how a worker stands.
type Status struct {
	connector.Status
	Held int // dead letters and replies that could not be written yet
}

// patient is a context that outlives ctx by the drain timeout: what was begun
// may end.
func (w *Worker) patient(ctx context.Context) (context.Context, func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		drain := time.NewTimer(w.Drain)
		defer drain.Stop()
		select {
		case <-drain.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() { stop(); cancel() }
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
