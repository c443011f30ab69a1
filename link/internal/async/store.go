package async

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
)

// errUnknown is the fate of a record that was not waited for.
var errUnknown = errors.New("not known in time whether Kafka has the record")

// grace is how long a write that was given up may take to say that it did not
// begin, or has just ended.
const grace = 500 * time.Millisecond

// Bounds of what is under way to Kafka, for each store.
const (
	maxRecords = 4096
	maxBytes   = 16 << 20
)

// Store keeps records in Kafka. It is a target.Log.
type Store struct {
	producer *kafka.Producer
	writes   sync.WaitGroup
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

// Append is target.Log's. What is under way is not cancelled when ctx ends: a
// producer that takes back a sequence number can lose the record after it
// (https://github.com/twmb/franz-go/issues/1217). It is only waited for no longer.
func (s *Store) Append(ctx context.Context, r kafka.Record) (connector.Position, error) {
	type fate struct {
		at  connector.Position
		err error
	}
	ended := make(chan fate, 1)
	s.writes.Go(func() {
		at, err := s.producer.Append(ctx, r)
		ended <- fate{at, err}
	})
	select {
	case f := <-ended:
		return f.at, f.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case f := <-ended:
		return f.at, f.err
	case <-late.C:
		return connector.Position{}, errUnknown
	}
}

// Close waits for what is under way until ctx ends, and lets go. Nothing is
// appended meanwhile or after.
func (s *Store) Close(ctx context.Context) error {
	err := s.producer.Close(ctx)
	s.writes.Wait()
	return err
}
