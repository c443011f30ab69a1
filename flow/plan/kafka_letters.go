package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery/deadletter"
)

// deadLetterTopic is a Kafka topic for dead letters.
type deadLetterTopic struct {
	kafka.ProducerConfig `yaml:",inline"`

	Topic string `yaml:"topic" doc:"Topic for dead letters; created when it is missing; default: errorHandling.deadLetterTopic."`

	MaxBatch config.Bytes `yaml:"maxBatchBytes" default:"48MiB" doc:"Most that one compressed batch may unpack to, for fiso-flow dlq; a larger one is left out, and said."`
}

// maxDeadLetterTry limits how long the producer tries to send a dead letter before it returns an
// error to the engine.
const maxDeadLetterTry = 4 * time.Second

// setFromFlow limits how long the producer keeps a letter that it cannot send. If the producer
// kept it longer, it could store the letter after the event was handed back, and the member that
// has the event then would store a second one. The producer looks for the topic for
// DeliveryTimeout, and then tries to send for as long again. Both must end before the engine stops
// waiting, after ten seconds, and before events in flight are handed back at a rebalance. A letter
// that may already be on the wire is awaited without a deadline. The engine writes again only
// letters that were never sent.
func (c *deadLetterTopic) setFromFlow(topic, instead string, drain time.Duration) {
	c.Topic = cmp.Or(instead, c.Topic, topic)
	c.DeliveryTimeout = max(time.Second, min(c.DeliveryTimeout, maxDeadLetterTry, drain/5))
}

func (c *deadLetterTopic) describe() string {
	return fmt.Sprintf("Kafka topic %s of %s, created when it is missing", c.Topic, strings.Join(c.Brokers, ","))
}

func (c *deadLetterTopic) name() string { return c.Topic }

func (c *deadLetterTopic) servers() []string { return c.Brokers }

func (c *deadLetterTopic) build(env Env) (deadletter.Writer, error) {
	p, err := kafka.NewProducer(c.ProducerConfig, kafka.ProducerOptions{Logger: env.Logger, CreateTopics: true, Dial: env.Dial})
	if err != nil {
		return nil, err
	}
	return deadletter.NewKafka(deadletter.KafkaConfig{Producer: producer{p}, Topic: c.Topic, TooLarge: kafka.ErrTooLarge}), nil
}

// check also looks for the topic; a missing topic is no fault, because it is created.
func (c *deadLetterTopic) check(ctx context.Context) []connector.Step {
	p, err := kafka.NewProducer(c.ProducerConfig, kafka.ProducerOptions{CreateTopics: true})
	if err != nil {
		return []connector.Step{{Name: "read the settings", Err: err}}
	}
	steps := p.Check(ctx, c.Topic)
	_ = p.Close(ctx) // nothing was written
	return steps
}

// producer adapts kafka.Producer to deadletter.Producer.
type producer struct{ *kafka.Producer }

// Begin starts to write one record.
func (p producer) Begin(ctx context.Context, topic string, key, value []byte, headers []connector.Header) (deadletter.Pending, error) {
	w, err := p.Producer.Begin(ctx, kafka.Record{Topic: topic, Key: key, Value: value, Headers: headers})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Validate returns all faults of c. Without a topic the default is used, whose name
// spec.Flow.Validate checks.
func (c *deadLetterTopic) Validate() error {
	s := kafka.SinkConfig{ProducerConfig: c.ProducerConfig, Topic: cmp.Or(c.Topic, "default")}
	config.Defaults(&s)
	return s.Validate() //nolint:wrapcheck // faults of keys; config adds their positions
}

func (c *deadLetterTopic) read(ctx context.Context, since time.Time, fn func(StoredLetter) error) error {
	// The topic is read from its start: a record's timestamp comes from the clock of the process
	// that wrote the letter. Parse reads the time of the failure from a header.
	opts := kafka.ReadOptions{MaxBatchBytes: int64(c.MaxBatch), OnSkip: func(s kafka.Skip) error {
		return fn(StoredLetter{At: fmt.Sprintf("%d:%d", s.Partition, s.From), Err: s.Err, Unread: int(s.To - s.From + 1)})
	}}
	err := kafka.ReadTopic(ctx, c.ClientConfig, c.Topic, opts, func(r kafka.Record) error {
		m := &connector.Message{Key: r.Key, Value: r.Value, Headers: r.Headers}
		s := StoredLetter{At: fmt.Sprintf("%d:%d", r.Partition, r.Offset)}
		s.Letter, s.Err = deadletter.Parse(m)
		return callIfSince(s, since, fn)
	})
	if errors.Is(err, kafka.ErrNoTopic) {
		return nil // no dead letters yet: the first one creates the topic
	}
	return err
}
