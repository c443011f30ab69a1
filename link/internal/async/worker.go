package async

import (
	"context"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
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
	Drain  time.Duration
	Logger *slog.Logger
	// OnDeadLetter hears of each dead letter that was stored, by its code; Unwritten
	// of each try to store one, or a reply, that failed.
	OnDeadLetter func(code string)
	OnUnwritten  func(what string)
	// OnGap hears of accepted calls that the topic no longer had when it was read.
	// It must not block.
	OnGap func()
}

// What Unwritten is told.
const (
	DeadLetter = "dead letter"
	Reply      = "reply"
)

// Bounds of what is handed over and not settled.
const (
	queue      = 4 // messages of a partition, for each call that may be made at once
	queueBytes = 16 << 20
)

// maxSilence is how long Kafka may say nothing about a dead letter or a reply, at
// most, before its call counts as held.
const maxSilence = 15 * time.Second

// Worker makes the calls of one target that were accepted.
type Worker struct {
	source  *kafka.Source
	letters deadletter.Writer
	calls   *calls
	engine  *delivery.Engine
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
	}, kafka.SourceOptions{Logger: c.Logger, Window: queue * a.MaxInFlight, DrainTimeout: c.Drain, OnGap: func(kafka.Gap) { c.OnGap() }})
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
		Name: name, MaxInFlight: queue * a.MaxInFlight, MaxInFlightBytes: queueBytes, DrainTimeout: c.Drain,
		StorePatience: min(2*a.Timeout, maxSilence), Observer: observer{Config: c}, Logger: c.Logger,
	}, w.version())
	return w, nil
}

// version is what the engine does with records: it makes calls, and stores replies
// where somebody wants to know.
func (w *Worker) version() *delivery.Version {
	c, a := w.calls, w.calls.Target.Spec.Async
	h := delivery.Handling{DeadLetter: w.letters, Retry: c.Target.Backoff, MaxRetries: a.MaxRetries}
	out := delivery.Output{Sink: c, Handling: h, MaxInFlight: a.MaxInFlight, StopTheLine: a.StopTheLine.Consecutive}
	if a.ReplyTopic != "" {
		out.Receipt = c.reply
	}
	return &delivery.Version{Transformer: c, Handling: h, Outputs: []delivery.Output{out}}
}

// Run makes calls until ctx ends, and then until those under way are over, or
// the drain timeout is; what was not begun is handed back.
func (w *Worker) Run(ctx context.Context) error { return w.engine.Run(ctx, w.source) }

// Close waits for what is still written, until ctx ends. Run is over, or never
// was called.
func (w *Worker) Close(ctx context.Context) error { return w.letters.Close(ctx) }

// Check tries what the worker needs, step by step, and writes nothing.
func (w *Worker) Check(ctx context.Context) []connector.Step { return w.source.Check(ctx) }
