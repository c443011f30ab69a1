package blueprint

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/spec"
)

type kafkaSource struct {
	kafka.SourceConfig `yaml:",inline"`

	pattern *regexp.Regexp // TopicsPattern; nil: none
	exclude []string       // topics that it matches and that are not read
}

func (c *kafkaSource) tell() string {
	what := "topic " + c.Topic
	switch {
	case len(c.Topics) > 0:
		what = "topics " + strings.Join(c.Topics, ", ")
	case c.TopicsPattern != "":
		what = "topics that match " + c.TopicsPattern
	}
	if len(c.exclude) > 0 {
		what += " (but " + strings.Join(c.exclude, ", ") + ", where its dead letters go)"
	}
	return fmt.Sprintf("%s of %s, as consumer group %s; without a commit from %s", what, strings.Join(c.Brokers, ","), c.ConsumerGroup, c.StartOffset)
}

func (c *kafkaSource) broker() bool     { return true }
func (c *kafkaSource) manyTopics() bool { return len(c.Topics) > 1 || c.TopicsPattern != "" }

func (c *kafkaSource) build(f *spec.Flow, env Env) (connector.Source, error) {
	return kafka.NewSource(c.SourceConfig, kafka.SourceOptions{
		Logger: env.Logger, Window: f.Delivery.MaxInFlight, DrainTimeout: f.Delivery.DrainTimeout,
		Exclude: c.exclude, OnGap: func(kafka.Gap) { env.OnGap() }, Dial: env.Dial,
	})
}

// kafkaSink is the connector's config, and the key, which is flow's: the
// connector knows nothing of CEL.
type kafkaSink struct {
	kafka.SinkConfig `yaml:",inline"`

	Key config.Text `yaml:"key" doc:"CEL expression for the record's key, evaluated on the outgoing event; default: the key of the incoming record."`

	key expression
}

func (c *kafkaSink) tell() string {
	return fmt.Sprintf("topic %s of %s, CloudEvents in %s mode", c.Topic, strings.Join(c.Brokers, ","), c.Mode)
}

func (c *kafkaSink) ask(bool)         {}
func (c *kafkaSink) writesJSON() bool { return c.Mode == kafka.ModeStructured }

// The producer gathers records by itself, but only those of as many workers as
// there are, each of which sleeps until its own is stored. A batch of the
// engine costs a worker once, and half of the CPU an event. Two of 500 fill the
// usual delivery.maxInFlight: one is collected while the other is on its way,
// and nothing waits for company when nothing is.
func (c *kafkaSink) gathers() *delivery.Batch {
	return &delivery.Batch{MaxEvents: 500, MaxWait: 4 * time.Millisecond, Eager: true}
}

// maxHops is how many Kafka sinks an event may pass. Flows in one directory that
// write in a circle are refused; those of several, on clusters that go by several
// names, or through HTTP, are noticed by their events alone.
const maxHops = 32

func (c *kafkaSink) build(env Env) (connector.Sink, error) {
	s, err := kafka.NewSink(c.SinkConfig, kafka.ProducerOptions{Logger: env.Logger, Dial: env.Dial, MaxHops: maxHops})
	if err != nil || c.key == nil {
		return s, err
	}
	return &keyed{BatchSink: s, key: c.key}, nil
}

// kafkaLetters is a topic for dead letters.
type kafkaLetters struct {
	kafka.ProducerConfig `yaml:",inline"`

	Topic string `yaml:"topic" doc:"Topic for dead letters; created when it is missing; default: errorHandling.deadLetterTopic."`

	MaxBatch config.Bytes `yaml:"maxBatchBytes" default:"48MiB" doc:"Most that one compressed batch may unpack to, for fiso-flow dlq; a larger one is left out, and said."`
}

// mostTry is the longest that a producer tries to send a dead letter before the
// engine hears that it could not.
const mostTry = 4 * time.Second

// within bounds how long the producer keeps a letter that it cannot send. A
// producer that kept it longer could store it after the event was handed back,
// beside the letter of the member that has the event then. The producer looks
// for the topic for DeliveryTimeout, and then tries to send for as long: both
// must be over before the engine stops waiting, after ten seconds, and before an
// event under way at a rebalance is handed back. A letter that may already be on
// the wire is awaited without a deadline. The engine writes again only letters
// that were never sent.
func (c *kafkaLetters) within(drain time.Duration) {
	c.DeliveryTimeout = max(time.Second, min(c.DeliveryTimeout, mostTry, drain/5))
}

func (c *kafkaLetters) tell() string {
	return fmt.Sprintf("Kafka topic %s of %s, created when it is missing", c.Topic, strings.Join(c.Brokers, ","))
}

func (c *kafkaLetters) build(env Env) (deadletter.Writer, error) {
	p, err := kafka.NewProducer(c.ProducerConfig, kafka.ProducerOptions{Logger: env.Logger, CreateTopics: true, Dial: env.Dial})
	if err != nil {
		return nil, err
	}
	return deadletter.NewKafka(deadletter.KafkaConfig{
		Producer: producer{p}, Topic: c.Topic, TooLarge: kafka.ErrTooLarge, Remedy: "take it out with fiso-flow dlq skip … --to-file",
	}), nil
}

// check looks at the topic too, whose absence is no fault.
func (c *kafkaLetters) check(ctx context.Context) []connector.Step {
	p, err := kafka.NewProducer(c.ProducerConfig, kafka.ProducerOptions{CreateTopics: true})
	if err != nil {
		return []connector.Step{{Name: "read the settings", Err: err}}
	}
	steps := p.Check(ctx, c.Topic)
	_ = p.Close(ctx) // nothing was written
	return steps
}

// producer fits the connector's producer to what dead letters need.
type producer struct{ *kafka.Producer }

// Begin starts to write one record.
func (p producer) Begin(ctx context.Context, topic string, key, value []byte, headers []connector.Header) (deadletter.Pending, error) {
	w, err := p.Producer.Begin(ctx, kafka.Record{Topic: topic, Key: key, Value: value, Headers: headers})
	if err != nil {
		return nil, err
	}
	return w, nil
}
