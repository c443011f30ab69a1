package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxRecord is the largest record, in bytes, that is sent at all. franz-go writes no
// request above 100 MiB.
const maxRecord = 90 << 20

// defaultBatch is the largest batch, in bytes, when the topic's limit is not known: the
// default of franz-go and of brokers.
const defaultBatch = 1000012

// requestBackoff is the wait before a producer retries a request. With franz-go's own
// backoff, 5 s may pass before it notices that a broker is back.
var requestBackoff = backoff.Policy{Initial: 250 * time.Millisecond, Max: time.Second, Jitter: 0.2}

// ProducerOptions are settings of the program that are not in a file. The zero value
// works.
type ProducerOptions struct {
	// Logger takes the producer's log; nil: none.
	Logger *slog.Logger
	// CreateTopics creates a missing topic at its first record, with the broker's
	// defaults for partitions and replicas and unlimited retention (cleanup.policy
	// delete, retention.ms and retention.bytes -1). For an existing topic that may lose
	// records, a warning is logged.
	CreateTopics bool
	// MaxHops is how many sinks with MaxHops set an event may pass, this one included.
	// The Sink adds 1 to the extension HopsExtension of each event, and refuses an
	// event that has passed MaxHops sinks (ErrTooManyHops, permanent). This ends events
	// that circle between topics and flows. 0: no count.
	MaxHops int
	// Dial opens connections, for tests; nil: the net package does.
	Dial DialFunc
	// Options are added to franz-go's, for tests.
	Options []kgo.Opt
}

// Record is a record to write, or one that was read.
type Record struct {
	Topic   string
	Key     []byte // nil: none
	Value   []byte // nil: a tombstone
	Headers []connector.Header
	Time    time.Time // zero: now

	// Partition and Offset are set by ReadTopic and ignored by Produce.
	Partition int32
	Offset    int64
}

// Producer writes records. It is safe for concurrent use.
//
// The end of a context ends the wait for a record and never cancels the record itself.
// franz-go would reuse the sequence number of a cancelled record whose outcome it does
// not know, and the broker would drop the next record as a duplicate and answer that it
// is stored.
// https://github.com/twmb/franz-go/issues/1217
type Producer struct {
	cfg  ProducerConfig
	opts ProducerOptions
	log  *slog.Logger
	cl   *kgo.Client
	adm  *kadm.Client
	// splitter writes records above the topic's limit, which may still fit when
	// compressed, and records of a refused batch, to find the ones that the broker
	// refuses.
	splitter   batchSplitter
	inFlight   *inFlightLimit
	largeLimit *inFlightLimit // of records above the topic's limit: one at a time
	deadlines  deadlines

	mu     sync.Mutex
	topics map[string]*topicState
	closed bool
	calls  sync.WaitGroup
	once   sync.Once
}

// NewProducer returns a producer for cfg, with defaults filled in. It opens no
// connection.
func NewProducer(cfg ProducerConfig, opts ProducerOptions) (*Producer, error) {
	config.Defaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	return newProducer(cfg, opts)
}

func newProducer(cfg ProducerConfig, opts ProducerOptions) (*Producer, error) {
	p := &Producer{cfg: cfg, opts: opts, log: opts.Logger, topics: make(map[string]*topicState), deadlines: deadlines{timeout: cfg.DeliveryTimeout},
		inFlight: newInFlightLimit(cfg.MaxBuffered, int64(cfg.MaxBufferedSize)), largeLimit: newInFlightLimit(1, maxRecord)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	conn, err := cfg.options(opts.Dial, p.log)
	if err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	conn = append(conn,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codecs[cfg.Compression], kgo.NoCompression()),
		kgo.UnknownTopicRetries(1),
		kgo.RetryBackoffFn(requestBackoff.Delay),
		kgo.MaxBufferedRecords(cfg.MaxBuffered+1), // inFlight keeps below it, so franz-go never blocks
	)
	p.cl, err = kgo.NewClient(append(append(conn[:len(conn):len(conn)],
		kgo.ProducerLinger(cfg.Linger),
		kgo.ProducerBatchMaxBytesFn(p.batchMax),
	), opts.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka producer: %w: %w", errOptions, err)
	}
	p.splitter.maxBatch = p.batchMax
	p.splitter.client, err = kgo.NewClient(append(append(conn[:len(conn):len(conn)],
		kgo.ManualFlushing(),
		kgo.ProducerBatchMaxBytes(maxRecord),
	), opts.Options...)...)
	if err != nil {
		p.cl.Close()
		return nil, fmt.Errorf("kafka producer: %w: %w", errOptions, err)
	}
	p.adm = kadm.NewClient(p.cl)
	return p, nil
}

// codecs are the codecs by name. zstd has its fastest level, 1 in franz-go's library:
// the default level saves 0.3 % of the bytes for records of a few hundred bytes, and
// costs a third more CPU.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression().WithLevel(1),
}

// Produce writes one record and returns nil once all in-sync replicas have it. When ctx
// ends first, it returns an error; ErrOutcomeUnknown is in its chain if the record may
// be stored. For the classes of errors see errors.go.
func (p *Producer) Produce(ctx context.Context, r Record) error {
	_, err := p.Append(ctx, r)
	return err
}

// Append is Produce that also returns the record's position. The offset is -1 if the
// broker stored the record at an earlier attempt whose answer was lost.
func (p *Producer) Append(ctx context.Context, r Record) (connector.Position, error) {
	w, err := p.Begin(ctx, r)
	if err == nil {
		err = w.Wait(ctx)
	}
	if err != nil {
		return connector.Position{}, err
	}
	return w.Position(), nil
}

// Begin starts to write one record. ctx bounds only the wait for the limits of records
// in flight. After an error the record is not written. Its bytes must not change before
// the outcome is known.
func (p *Producer) Begin(ctx context.Context, r Record) (*Write, error) {
	f := newProduceCall(1)
	r.load(f)
	if err := p.send(ctx, r.Topic, f); err != nil {
		return nil, err
	}
	return &Write{f}, nil
}

// Write is one record that a Producer began to write.
type Write struct{ f *produceCall }

// Wait returns the record's outcome: nil once all in-sync replicas have it. That may
// take deliveryTimeout and, while a broker's answer is outstanding, longer. When ctx
// ends first, Wait returns ErrOutcomeUnknown and the record stays in flight. Wait may
// be called again, from any goroutine.
func (w *Write) Wait(ctx context.Context) error {
	w.f.wait(ctx)
	return w.f.outcome(ctx, 0)
}

// Position is the record's position, once Wait has returned nil.
func (w *Write) Position() connector.Position {
	stored := &w.f.records[0].record
	return connector.PartitionOffset(stored.Topic, stored.Partition, stored.Offset)
}

// enter counts a call, and returns false if the producer is closed.
func (p *Producer) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	return true
}

// Close waits for records in flight until ctx ends; records that are still in flight
// then fail. It may be called again.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	idle := make(chan struct{})
	go func() { p.calls.Wait(); close(idle) }()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("kafka producer: close: records were still in flight: %w", context.Cause(ctx))
	}
	p.once.Do(func() { p.cl.Close(); p.splitter.client.Close(); p.deadlines.close() })
	<-idle
	return err
}
