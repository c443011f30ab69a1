package async

import (
	"context"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery/deadletter"
)

// Bounds of what is under way to Kafka, for each store.
const (
	maxRecords = 4096
	maxBytes   = 16 << 20
)

// Store keeps records in Kafka. It is a target.Log.
type Store struct {
	producer *kafka.Producer
}

// NewStore connects to nothing. timeout is how long a record is tried; create
// says whether topics that are missing are made.
func NewStore(brokers kafka.ClientConfig, timeout time.Duration, create bool, log *slog.Logger) (*Store, error) {
	p, err := kafka.NewProducer(kafka.ProducerConfig{
		ClientConfig: brokers, DeliveryTimeout: timeout, MaxBuffered: maxRecords, MaxBufferedSize: maxBytes,
	}, kafka.ProducerOptions{Logger: log, CreateTopics: create})
	if err != nil {
		return nil, err
	}
	return &Store{producer: p}, nil
}

// Append is target.Log's. The end of ctx ends the wait for the record, and not
// the record: see kafka.Producer.
func (s *Store) Append(ctx context.Context, r kafka.Record) (connector.Position, error) {
	return s.producer.Append(ctx, r)
}

// Begin is deadletter.Producer's.
func (s *Store) Begin(ctx context.Context, topic string, key, value []byte, headers []connector.Header) (deadletter.Pending, error) {
	w, err := s.producer.Begin(ctx, kafka.Record{Topic: topic, Key: key, Value: value, Headers: headers})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Close waits for what is under way until ctx ends, and lets go. Nothing is
// appended meanwhile or after.
func (s *Store) Close(ctx context.Context) error { return s.producer.Close(ctx) }
