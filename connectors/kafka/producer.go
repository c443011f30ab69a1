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

// maxRecord is the largest record that is tried at all. franz-go writes no
// request above 100 MiB.
const maxRecord = 90 << 20

// defaultBatch is franz-go's, and the broker's, when nothing else is known.
const defaultBatch = 1000012

// reconnect is how long a producer waits before it tries again to reach a broker
// that is away: franz-go's own 5 s would pass after the broker's return.
var reconnect = backoff.Policy{Initial: 250 * time.Millisecond, Max: time.Second, Jitter: 0.2}

// ProducerOptions are what a program decides, not a file. The zero value works.
type ProducerOptions struct {
	// Logger takes the producer's log; nil: none.
	Logger *slog.Logger
	// CreateTopics creates a topic that does not exist when it is first written
	// to: with the broker's defaults for partitions and replicas, and for ever
	// (cleanup.policy delete, retention.ms and retention.bytes -1). A topic that
	// exists and may lose records is logged as a warning.
	CreateTopics bool
	// MaxHops is how many sinks an event may pass, this one included, of those
	// that count: a Sink then adds 1 to the extension HopsExtension of each event,
	// and refuses one that passed so many before (ErrTooManyHops, permanent). So
	// an event ends that goes round between topics and flows. 0: no count.
	MaxHops int
	// Dial opens connections, for tests; nil: the net package does.
	Dial DialFunc
	// Options are added to franz-go's, for tests.
	Options []kgo.Opt
}

// Record is one record to write, or one that was read.
type Record struct {
	Topic   string
	Key     []byte // nil: none
	Value   []byte // nil: a tombstone
	Headers []connector.Header
	Time    time.Time // zero: now

	// Partition and Offset are where the record stands; set by ReadTopic, not
	// looked at by Produce.
	Partition int32
	Offset    int64
}

// Producer writes records. It is safe for concurrent use.
//
// A context never cancels a record that is under way, it only ends the wait for
// it: franz-go would take the sequence number of a record whose fate it does not
// know for free, and the broker would then drop the next record as a duplicate
// while it says "stored". https://github.com/twmb/franz-go/issues/1217
type Producer struct {
	cfg  ProducerConfig
	opts ProducerOptions
	log  *slog.Logger
	cl   *kgo.Client
	adm  *kadm.Client
	// apart writes records above the topic's limit, which may still fit when
	// compressed, and those of a refused batch, to find the ones at fault.
	apart     singleRefusals
	places    *inFlightLimit
	oneLarge  *inFlightLimit
	deadlines deadlines

	mu     sync.Mutex
	topics map[string]*topicState
	closed bool
	calls  sync.WaitGroup
	once   sync.Once
}

// NewProducer is a producer by cfg, with defaults filled in. It dials nothing.
func NewProducer(cfg ProducerConfig, opts ProducerOptions) (*Producer, error) {
	config.Defaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	return newProducer(cfg, opts)
}

func newProducer(cfg ProducerConfig, opts ProducerOptions) (*Producer, error) {
	p := &Producer{cfg: cfg, opts: opts, log: opts.Logger, topics: make(map[string]*topicState), deadlines: deadlines{timeout: cfg.DeliveryTimeout},
		places: newPlaces(cfg.MaxBuffered, int64(cfg.MaxBufferedSize)), oneLarge: newPlaces(1, maxRecord)}
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
		kgo.RetryBackoffFn(reconnect.Delay),
		kgo.MaxBufferedRecords(cfg.MaxBuffered+1), // places keeps below it, so franz-go never blocks
	)
	p.cl, err = kgo.NewClient(append(append(conn[:len(conn):len(conn)],
		kgo.ProducerLinger(cfg.Linger),
		kgo.ProducerBatchMaxBytesFn(p.batchMax),
	), opts.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka producer: %w: %w", errOptions, err)
	}
	p.apart.limit = p.batchMax
	p.apart.client, err = kgo.NewClient(append(append(conn[:len(conn):len(conn)],
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

// codecs are the codecs by name. Of zstd it is the fastest level, 1 in franz-go's
// library: the usual one saves 0.3 % of the bytes of records of a few hundred
// each, and costs a third more CPU.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression().WithLevel(1),
}

// Produce writes one record and returns nil once all in-sync replicas have it.
// When ctx ends first, it returns an error: ErrOutcomeUnknown is in its chain
// where the record may be stored all the same. For the classes of errors see
// errors.go.
func (p *Producer) Produce(ctx context.Context, r Record) error {
	_, err := p.Append(ctx, r)
	return err
}

// Append is Produce that also says where the record stands. Its offset is -1
// where the broker stored the record and did not say where: it had it already
// when franz-go had to ask again.
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

// Begin starts to write one record. ctx bounds the wait for a place among the
// records under way, and no more. After an error nothing was written, nor will
// be. The record's bytes must not be changed before its fate is known.
func (p *Producer) Begin(ctx context.Context, r Record) (*Write, error) {
	f := newFlight(1)
	r.load(f)
	if err := p.send(ctx, r.Topic, f); err != nil {
		return nil, err
	}
	return &Write{f}, nil
}

// Write is one record that a Producer began to write.
type Write struct{ f *produceCall }

// Wait returns the record's fate: nil once all in-sync replicas have it. That
// may take until deliveryTimeout and, while the broker owes an answer, longer.
// When ctx ends first, Wait returns ErrOutcomeUnknown and the record stays under
// way. Wait may be called again, from any goroutine.
func (w *Write) Wait(ctx context.Context) error {
	w.f.wait(ctx)
	return w.f.fate(ctx, 0)
}

// Position is where the record stands, once Wait has returned nil.
func (w *Write) Position() connector.Position {
	stored := &w.f.records[0].record
	return connector.PartitionOffset(stored.Topic, stored.Partition, stored.Offset)
}

// enter notes a call, unless the producer is closed.
func (p *Producer) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	return true
}

// Close waits for records under way until ctx ends, and then lets go; what is
// still under way fails. It may be called again.
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
		err = fmt.Errorf("kafka producer: records were still under way: %w", context.Cause(ctx))
	}
	p.once.Do(func() { p.cl.Close(); p.apart.client.Close(); p.deadlines.close() })
	<-idle
	return err
}
