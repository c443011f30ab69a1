package harness

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Load is what is produced, and how fast.
type Load struct {
	// PerSecond is the rate of events; 0: as fast as Backlog allows.
	PerSecond int
	// Backlog is how many undelivered events stop the producer; 0: 20,000.
	Backlog int
	// Total is the number of events; 0: until StopProducing.
	Total int
	// Kind returns the kind of event n; nil: plain, with a few filtered and flaky ones.
	Kind func(n int) ledger.Kind
}

// Producer writes events with acks from all in-sync replicas, and reports accepted ones to the
// ledger.
type Producer struct {
	env  *Env
	cl   *kgo.Client
	lost atomic.Int64 // events that the broker refused permanently

	cancel context.CancelFunc
	run    sync.WaitGroup
}

func newProducer(s *Env) (*Producer, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(time.Millisecond),
		kgo.ProducerBatchMaxBytes(8<<20), kgo.MaxBufferedBytes(64<<20),
	)
	if err != nil {
		return nil, fmt.Errorf("create the producer: %w", err)
	}
	return &Producer{env: s, cl: cl}, nil
}

// Produce writes a load until it is complete, or until StopProducing.
func (s *Env) Produce(ctx context.Context, load Load) {
	ctx, s.producer.cancel = context.WithCancel(ctx)
	s.producer.run.Go(func() { s.producer.write(ctx, load) })
}

// StopProducing stops the producer and waits until everything is accepted.
func (s *Env) StopProducing(ctx context.Context) error {
	p := s.producer
	if p.cancel != nil {
		p.cancel()
	}
	p.run.Wait()
	if err := p.cl.Flush(ctx); err != nil {
		return fmt.Errorf("write the last events: %w", err)
	}
	return nil
}

// WaitProduced waits until a load with a total is written.
func (s *Env) WaitProduced(ctx context.Context) error {
	s.producer.run.Wait()
	return s.StopProducing(ctx)
}

func (p *Producer) write(ctx context.Context, load Load) {
	backlog := load.Backlog
	if backlog == 0 {
		backlog = 20_000
	}
	kind := load.Kind
	if kind == nil {
		kind = defaultKind
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for i := 0; load.Total == 0 || i < load.Total; {
		due := i + 1000
		if load.PerSecond > 0 {
			due = int(time.Since(begun).Seconds() * float64(load.PerSecond))
		}
		for room := backlog - p.env.Ledger.Undelivered(); room > 0 && i < due && (load.Total == 0 || i < load.Total); room-- {
			p.produceOne(p.env.Ledger.Len()%keys, kind(p.env.Ledger.Len()))
			i++
		}
		if load.PerSecond > 0 && i < due { // do not catch up after the backlog was full
			begun = time.Now().Add(-time.Duration(float64(i) / float64(load.PerSecond) * float64(time.Second)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// defaultKind makes one in fifty events filtered, and one flaky.
func defaultKind(n int) ledger.Kind {
	switch n % 50 {
	case 17:
		return ledger.Filtered
	case 41:
		return ledger.Flaky
	default:
		return ledger.Plain
	}
}

// produceOne writes one event. It is never cancelled, because the ledger must know whether the event was
// stored.
func (p *Producer) produceOne(key int, kind ledger.Kind) {
	partition := key % Partitions
	n, value := p.env.Ledger.Sent(key, partition, kind)
	p.cl.Produce(context.Background(), &kgo.Record{
		Topic: p.env.Topic, Partition: int32(partition), Key: []byte(ledger.Key(key)), Value: value,
	}, func(r *kgo.Record, err error) {
		if err != nil {
			p.lost.Add(1)
			return
		}
		p.env.Ledger.Accepted(n, r.Offset)
	})
}
