package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// Producer writes one record to a topic and returns nil once all in-sync
// replicas have it. The supervisor gives one built on connectors/kafka.
type Producer interface {
	Produce(ctx context.Context, topic string, key, value []byte, headers []connector.Header, at time.Time) error
}

// Kafka writes letters to a topic: key, value, headers and time of the record
// as it was read, and our headers behind its own.
type Kafka struct {
	producer Producer
	topic    string
	tooLarge error

	mu     sync.Mutex
	closed bool
	writes sync.WaitGroup
}

// NewKafka returns a writer to topic. tooLarge is the producer's error, found
// with errors.Is, for a record over the broker's size limit; nil when it has
// none. The producer stays the caller's, who closes it before the writer when
// writes under way shall be given up, and after it otherwise.
func NewKafka(p Producer, topic string, tooLarge error) *Kafka {
	return &Kafka{producer: p, topic: topic, tooLarge: tooLarge}
}

// Write implements Writer. The produce itself is never cancelled: a record
// whose produce was cut short can take its successor with it, which is then
// acknowledged and not there (https://github.com/twmb/franz-go/issues/1217).
// So it runs on its own goroutine, and Write only stops waiting for it.
func (k *Kafka) Write(ctx context.Context, l *Letter) error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return fmt.Errorf("write to %s: %w", k.topic, connector.ErrClosed)
	}
	done := make(chan error, 1)
	k.writes.Go(func() { done <- k.produce(context.WithoutCancel(ctx), l) })
	k.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to take a dead letter: %w", k.topic, ctx.Err())
	}
}

func (k *Kafka) produce(ctx context.Context, l *Letter) error {
	m := l.Message
	err := k.producer.Produce(ctx, k.topic, m.Key, m.Value, Headers(l), m.Time)
	switch {
	case err == nil:
		return nil
	case k.tooLarge != nil && errors.Is(err, k.tooLarge):
		return fmt.Errorf("the dead letter of %s, %d bytes with its headers, is too large for topic %s: raise the topic's max.message.bytes, or take it out with fiso-flow dlq skip … --to-file: %w",
			m.Position, size(l), k.topic, err)
	default:
		return fmt.Errorf("write to %s: %w", k.topic, err)
	}
}

// size is about what the record of a letter takes, uncompressed.
func size(l *Letter) int {
	n := len(l.Message.Key) + len(l.Message.Value)
	for _, h := range Headers(l) {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Close implements Writer.
func (k *Kafka) Close(ctx context.Context) error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	idle := make(chan struct{})
	go func() { // ends with the last write, which the producer's own end cuts short
		k.writes.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close: writes to %s are still under way: %w", k.topic, ctx.Err())
	}
}
