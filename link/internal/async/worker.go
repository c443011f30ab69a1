package async

import (
	"context"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/link/internal/target"
)

// Config configures a Worker.
type Config struct {
	Target  *target.Target
	Brokers kafka.ClientConfig
	// Deliver makes a call. It is proxy.Proxy.Deliver.
	Deliver func(ctx context.Context, w http1.ResponseWriter, t *target.Target, r *http1.Request) error
	// Drain is how long calls in flight may take when the worker stops or a partition
	// is revoked.
	Drain  time.Duration
	Logger *slog.Logger
	// OnDeadLetter is called for each dead letter that was stored, with its code;
	// OnUnwritten for each failed attempt to store a dead letter or a reply.
	OnDeadLetter func(code string)
	OnUnwritten  func(what string)
	// OnGap is called when Kafka deleted accepted calls before they were read. It must
	// not block.
	OnGap func()
}

// Arguments of OnUnwritten.
const (
	DeadLetter = "dead letter"
	Reply      = "reply"
)

// Bounds of records that were received and not settled.
const (
	queuePerCall = 4 // records of a partition for each call of maxInFlight
	queueBytes   = 16 << 20
)

// maxSilence bounds how long Kafka may leave a dead letter or a reply unconfirmed
// before its call counts as held.
const maxSilence = 15 * time.Second

// Worker makes the accepted calls of one target.
type Worker struct {
	source  *kafka.Source
	letters deadletter.Writer
	calls   *calls
	engine  *delivery.Engine
}

// NewWorker returns a worker that has not connected yet. Close releases what it holds.
func NewWorker(c Config) (*Worker, error) {
	a, name := c.Target.Spec.Async, c.Target.Spec.Name
	const minDrain = 30 * time.Second // half of the connector's default RebalanceTimeout
	source, err := kafka.NewSource(kafka.SourceConfig{
		ClientConfig: c.Brokers, Topic: a.Topic, ConsumerGroup: a.Group(name),
		StartOffset:      "earliest",                 // calls accepted before the first worker started must be made
		RebalanceTimeout: 2 * max(c.Drain, minDrain), // leaves room for the whole drain
		MaxBufferedBytes: 8 << 20, FetchMaxBytes: 4 << 20,
	}, kafka.SourceOptions{Logger: c.Logger, Window: queuePerCall * a.MaxInFlight, DrainTimeout: c.Drain, OnGap: func(kafka.Gap) { c.OnGap() }})
	if err != nil {
		return nil, err
	}
	store, err := NewStore(c.Brokers, a.Timeout, true, c.Logger)
	if err != nil {
		return nil, err
	}
	w := &Worker{source: source, calls: &calls{Config: c, store: store}}
	w.letters = deadletter.NewKafka(deadletter.KafkaConfig{
		Producer: store, Topic: a.DeadLetters(), TooLarge: kafka.ErrTooLarge,
	})
	w.engine = delivery.New(delivery.Config{
		Name: name, MaxInFlight: queuePerCall * a.MaxInFlight, MaxInFlightBytes: queueBytes, DrainTimeout: c.Drain,
		StorePatience: min(2*a.Timeout, maxSilence), Observer: observer{Config: c}, Logger: c.Logger,
	}, w.version())
	return w, nil
}

// version returns the engine's pipeline: it makes calls, and stores replies if there is
// a reply topic.
func (w *Worker) version() *delivery.Version {
	c, a := w.calls, w.calls.Target.Spec.Async
	h := delivery.Handling{DeadLetter: w.letters, Retry: c.Target.Backoff, MaxRetries: a.MaxRetries}
	out := delivery.Output{Sink: c, Handling: h, MaxInFlight: a.MaxInFlight, StopTheLine: a.StopTheLine.Consecutive}
	if a.ReplyTopic != "" {
		out.Receipt = c.reply
	}
	return &delivery.Version{Transformer: c, Handling: h, Outputs: []delivery.Output{out}}
}

// Run makes calls until ctx ends, then waits up to the drain timeout for calls in
// flight. Records whose call had not begun stay unsettled.
func (w *Worker) Run(ctx context.Context) error { return w.engine.Run(ctx, w.source) }

// Close waits for dead letters and replies in flight, until ctx ends. Run must have
// returned, or never been called.
func (w *Worker) Close(ctx context.Context) error { return w.letters.Close(ctx) }

// Check tests brokers, login, topics and group step by step, and writes nothing.
func (w *Worker) Check(ctx context.Context) []connector.Step { return w.source.Check(ctx) }
