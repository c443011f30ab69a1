package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/spec"
)

var kafkaConnector = connectorType{
	name:        "kafka",
	guarantees:  kafka.SourceGuarantees,
	source:      func() source { return new(kafkaSource) },
	sink:        func() sink { return new(kafkaSink) },
	deadLetters: func() deadLetters { return new(deadLetterTopic) },
}

type kafkaSource struct {
	kafka.SourceConfig `yaml:",inline"`

	exclude []string // topics that the pattern matches and the source does not read
}

func (c *kafkaSource) describe() string {
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

func (c *kafkaSource) deadLetters(topic string) deadLetters {
	l := &deadLetterTopic{Topic: topic, MaxBatch: c.MaxBatchBytes}
	config.Defaults(&l.ProducerConfig)
	l.ClientConfig = c.ClientConfig
	return l
}

func (c *kafkaSource) manyStreams() bool { return len(c.Topics) > 1 || c.TopicsPattern != "" }

func (c *kafkaSource) build(f *spec.Flow, env Env) (connector.Source, error) {
	return kafka.NewSource(c.SourceConfig, kafka.SourceOptions{
		Logger: env.Logger, Window: f.Delivery.MaxInFlight, DrainTimeout: f.Delivery.DrainTimeout,
		Exclude: c.exclude, OnGap: func(kafka.Gap) { env.OnGap() }, Dial: env.Dial,
	})
}

// kafkaSink adds the key expression to the config of the connector, which does not use CEL.
type kafkaSink struct {
	kafka.SinkConfig `yaml:",inline"`

	Key config.Text `yaml:"key" doc:"CEL expression for the record's key, evaluated on the outgoing event; default: the key of the incoming record."`

	key expression
}

func (c *kafkaSink) describe() string {
	return fmt.Sprintf("topic %s of %s, CloudEvents in %s mode", c.Topic, strings.Join(c.Brokers, ","), c.Mode)
}

func (c *kafkaSink) wantBatches()     {}
func (c *kafkaSink) writesJSON() bool { return c.Mode == kafka.ModeStructured }

// Without a batch of the engine, each worker sleeps until its one record is stored, and the
// producer can only group the records of waiting workers. A batch wakes a worker once and halves
// the CPU time of an event. Two batches of 500 fill the default delivery.maxInFlight: one is
// collected while the other is sent. Eager sends an event without delay when nothing is in flight.
func (c *kafkaSink) batch() *delivery.Batch {
	return &delivery.Batch{MaxEvents: 500, MaxWait: 4 * time.Millisecond, Eager: true}
}

// maxHops limits how many Kafka sinks an event may pass. ParseDir refuses flows in one directory
// that write in a circle. A circle across directories, clusters with several names, or HTTP is
// only detected by the hop count of its events.
const maxHops = 32

func (c *kafkaSink) build(env Env) (connector.Sink, error) {
	s, err := kafka.NewSink(c.SinkConfig, kafka.ProducerOptions{Logger: env.Logger, Dial: env.Dial, MaxHops: maxHops})
	if err != nil || c.key == nil {
		return s, err
	}
	return &keySink{BatchSink: s, key: c.key}, nil
}
