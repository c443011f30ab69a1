package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// Producer writes records to topics. The program passes the producer of a
// connector: this package does not depend on a Kafka client. Errors of a
// Producer name the topic.
type Producer interface {
	// Begin starts to write one record. ctx bounds only the wait for room;
	// after an error nothing is written. The record has the time of the write:
	// retention counts from there, and a broker could delete a record with the
	// time of the source at once.
	Begin(ctx context.Context, topic string, key, value []byte, headers []connector.Header) (Pending, error)
	// Close waits for records under way until ctx ends, and then gives them
	// up.
	Close(ctx context.Context) error
}

// Pending is a record under way.
type Pending interface {
	// Wait returns nil once all in-sync replicas have the record. If ctx ends
	// first, it returns an error and the record stays under way. It may be
	// called again.
	Wait(ctx context.Context) error
}

// KafkaConfig is the configuration of a Kafka.
type KafkaConfig struct {
	Producer Producer // closed by Kafka.Close
	Topic    string
	// TooLarge is the producer's error for a record over the broker's size
	// limit, matched with errors.Is; nil if it has none.
	TooLarge error
}

// Kafka writes letters to a topic: key, value and headers of the record as it
// was read, followed by our headers.
type Kafka struct {
	KafkaConfig

	mu      sync.Mutex
	closed  bool
	pending map[*Letter]write // begun, result not yet returned
}

// write is a letter under way.
type write struct {
	Pending
	asked time.Time // when its result was last asked for
}

// resultTTL is how long the result of a write is kept for the next Write of its
// letter.
const resultTTL = 10 * time.Minute

// NewKafka returns a writer to a topic.
func NewKafka(c KafkaConfig) *Kafka {
	return &Kafka{KafkaConfig: c, pending: make(map[*Letter]write)}
}

// Write implements Writer. The end of ctx ends only the wait; the record stays
// under way. The next Write of the same letter waits for that record.
func (k *Kafka) Write(ctx context.Context, l *Letter) error {
	if err := ctx.Err(); err != nil {
		return err // nothing was begun
	}
	if err := refuseLoop(l, k.Topic); err != nil {
		return err
	}
	w, err := k.begin(ctx, l)
	if err != nil {
		return k.explain(l, err)
	}
	err = w.Wait(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("waiting for topic %s to take a dead letter: %w", k.Topic, err)
	}
	k.forget(l) // the result is known, or the caller was cancelled and will not write it again
	return k.explain(l, err)
}

// begin returns the write of l that is under way, or begins one.
func (k *Kafka) begin(ctx context.Context, l *Letter) (Pending, error) {
	w, err := k.pendingWrite(l)
	if w != nil || err != nil {
		return w, err
	}
	w, err = k.Producer.Begin(ctx, k.Topic, l.Message.Key, l.Message.Value, Headers(l))
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending[l] = write{w, time.Now()}
	return w, nil
}

// pendingWrite returns the write of l that is under way; nil: there is none.
func (k *Kafka) pendingWrite(l *Letter) (Pending, error) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, fmt.Errorf("write to topic %s: %w", k.Topic, connector.ErrClosed)
	}
	if w, ok := k.pending[l]; ok {
		k.pending[l] = write{w.Pending, now}
		return w.Pending, nil
	}
	for other, w := range k.pending {
		if now.Sub(w.asked) > resultTTL {
			delete(k.pending, other) // its event was handed back, so no Write will follow
		}
	}
	return nil, nil //nolint:nilnil // nothing is under way, which is no error
}

func (k *Kafka) forget(l *Letter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending, l)
}

// explain adds to a producer's error what a person can do about it.
func (k *Kafka) explain(l *Letter, err error) error {
	if k.TooLarge == nil || !errors.Is(err, k.TooLarge) {
		return err
	}
	return fmt.Errorf("the dead letter of %s, %d bytes with its headers, is too large for topic %s: raise the topic's max.message.bytes, or move the consumer group past the record: %w",
		l.Message.Position, size(l), k.Topic, err)
}

// size is roughly the size of a letter's record, uncompressed.
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
	return k.Producer.Close(ctx)
}
