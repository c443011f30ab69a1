package async

import (
	"context"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery/deadletter"
)

// Bounds of the records in flight to Kafka, per store.
const (
	maxRecords = 4096
	maxBytes   = 16 << 20
)

// Store writes records to Kafka. It is a target.RecordStore.
type Store struct {
	producer *kafka.Producer
}

// NewStore returns a store that has not connected yet. timeout is how long a record is
// retried; with create, missing topics are created.
func NewStore(brokers kafka.ClientConfig, timeout time.Duration, create bool, log *slog.Logger) (*Store, error) {
	p, err := kafka.NewProducer(kafka.ProducerConfig{
		ClientConfig: brokers, DeliveryTimeout: timeout, MaxBuffered: maxRecords, MaxBufferedSize: maxBytes,
	}, kafka.ProducerOptions{Logger: log, CreateTopics: create})
	if err != nil {
		return nil, err
	}
	return &Store{producer: p}, nil
}

// Append implements target.RecordStore. When ctx ends, Append stops waiting, but the
// record is not cancelled: see kafka.Producer.
func (s *Store) Append(ctx context.Context, r kafka.Record) (connector.Position, error) {
	return s.producer.Append(ctx, r)
}

// Begin implements deadletter.Producer.
func (s *Store) Begin(ctx context.Context, topic string, key, value []byte, headers []connector.Header) (deadletter.Pending, error) {
	w, err := s.producer.Begin(ctx, kafka.Record{Topic: topic, Key: key, Value: value, Headers: headers})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Close waits for records in flight until ctx ends, and closes the producer. Append
// must not be called during Close or after it.
func (s *Store) Close(ctx context.Context) error { return s.producer.Close(ctx) }
