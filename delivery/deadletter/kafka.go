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
// replicas have it. The record is dated when it is written: retention counts from
// there, and with the time of the source a broker could delete it at once.
type Producer interface {
	Produce(ctx context.Context, topic string, key, value []byte, headers []connector.Header) error
}

// Kafka writes letters to a topic: key, value and headers of the record as it
// was read, and our headers behind its own.
type Kafka struct {
	producer Producer
	topic    string
	tooLarge error

	mu      sync.Mutex
	closed  bool
	pending map[*Letter]*write // not yet asked for their result
	writes  sync.WaitGroup
}

// write is a produce that is under way, or has ended.
type write struct {
	done  chan struct{} // closed when err and ended are set
	err   error
	ended time.Time
}

// keepResult is how long the result of a write waits to be asked for.
const keepResult = 10 * time.Minute

// NewKafka returns a writer to topic. tooLarge is the producer's error, found
// with errors.Is, for a record over the broker's size limit; nil when it has
// none. The producer stays the caller's, who closes it before the writer when
// writes under way shall be given up, and after it otherwise.
func NewKafka(p Producer, topic string, tooLarge error) *Kafka {
	return &Kafka{producer: p, topic: topic, tooLarge: tooLarge, pending: make(map[*Letter]*write)}
}

// Write implements Writer. The produce itself is never cancelled: a record
// whose produce was cut short can take its successor with it, which is then
// acknowledged and not there (https://github.com/twmb/franz-go/issues/1217).
// So it runs on its own goroutine, and Write only stops waiting for it; written
// again, the same letter waits for the same produce.
func (k *Kafka) Write(ctx context.Context, l *Letter) error {
	if err := ctx.Err(); err != nil {
		return err // nothing was begun, so nothing is stored twice
	}
	if err := again(l, k.topic); err != nil {
		return err
	}
	w, err := k.begin(context.WithoutCancel(ctx), l)
	if err != nil {
		return err
	}
	select {
	case <-w.done:
		k.forget(l)
		return w.err
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			k.forget(l) // nobody will ask again
		}
		return fmt.Errorf("waiting for topic %s to take a dead letter: %w", k.topic, ctx.Err())
	}
}

// begin joins the write of l that is under way, or begins it.
func (k *Kafka) begin(ctx context.Context, l *Letter) (*write, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, fmt.Errorf("write to %s: %w", k.topic, connector.ErrClosed)
	}
	if w := k.pending[l]; w != nil {
		return w, nil
	}
	k.sweep(time.Now())
	w := &write{done: make(chan struct{})}
	k.pending[l] = w
	k.writes.Go(func() {
		err := k.produce(ctx, l)
		k.mu.Lock()
		defer k.mu.Unlock()
		w.err, w.ended = err, time.Now()
		close(w.done)
	})
	return w, nil
}

// sweep forgets results that nobody asked for: their events were handed back.
func (k *Kafka) sweep(now time.Time) {
	for l, w := range k.pending {
		if !w.ended.IsZero() && now.Sub(w.ended) > keepResult {
			delete(k.pending, l)
		}
	}
}

func (k *Kafka) forget(l *Letter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending, l)
}

func (k *Kafka) produce(ctx context.Context, l *Letter) error {
	m := l.Message
	err := k.producer.Produce(ctx, k.topic, m.Key, m.Value, Headers(l))
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
