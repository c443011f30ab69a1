package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadOptions are the options of ReadTopic. The zero value reads the whole topic.
type ReadOptions struct {
	// Since starts each partition at its first record with this timestamp or a later
	// one.
	Since time.Time
	// MaxBatchBytes is the most that one compressed batch may unpack to. 0:
	// 48 MiB.
	MaxBatchBytes int64
	// OnSkip is called for each batch that unpacks to more and is left out. nil:
	// ReadTopic ends at the first such batch, and returns its error.
	OnSkip func(Skip) error
	// Dial opens connections, for tests; nil: the net package does.
	Dial DialFunc
}

// Skip is a batch of a topic that ReadTopic did not read.
type Skip struct {
	Partition int32
	From, To  int64 // offsets, To included
	Err       error // the reason, and what to do
}

// readBuffer is how many bytes ReadTopic unpacks before they are polled.
const readBuffer = 32 << 20

const (
	readBatch = 48 << 20 // as the default of maxBatchBytes
	readFetch = 16 << 20 // as the default of fetchMaxBytes
)

// ReadTopic calls fn with each record of a topic, from its start, or from a time, to
// the end that the topic had when ReadTopic was called. Records of open and aborted
// transactions are left out. Records of one partition come in order, one call at a
// time; fn may keep the bytes. ReadTopic joins no group and commits nothing. It returns
// the first error of fn, or why the topic cannot be read.
func ReadTopic(ctx context.Context, cfg ClientConfig, topic string, opts ReadOptions, fn func(Record) error) error {
	config.Defaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	if err := readTopic(ctx, cfg, topic, opts, fn); err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	return nil
}

func readTopic(ctx context.Context, cfg ClientConfig, topic string, opts ReadOptions, fn func(Record) error) error {
	conn, err := cfg.options(opts.Dial, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	opts.MaxBatchBytes = cmp.Or(opts.MaxBatchBytes, readBatch)
	unpack, err := newUnpacker(opts.MaxBatchBytes, readBuffer, func() int64 { return 0 })
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(conn,
		kgo.WithDecompressor(unpack),
		kgo.WithHooks(unpack),
		kgo.FetchMaxBytes(readFetch),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record of a partition may be one
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	left, err := bounds(ctx, kadm.NewClient(cl), topic, opts.Since)
	if err != nil {
		return explain(err)
	}
	from := map[int32]kgo.Offset{}
	for n, b := range left {
		from[n] = kgo.NewOffset().At(b.from)
	}
	if len(from) > 0 {
		cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	}
	r := reader{cl: cl, unpack: unpack, topic: topic, left: left, opts: opts, fn: fn}
	for len(left) > 0 {
		poll, cancel := context.WithTimeout(ctx, readIdle)
		fetches := cl.PollFetches(poll)
		idle := poll.Err() != nil
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		if idle && fetches.NumRecords() == 0 {
			return fmt.Errorf("no record came for %v, and %d partitions were not at their end", readIdle, len(left))
		}
		if err := r.fetched(fetches); err != nil {
			return err
		}
		for n, b := range left {
			if b.from >= b.to {
				delete(left, n)
				cl.PauseFetchPartitions(map[string][]int32{topic: {n}})
			}
		}
	}
	return nil
}

// readIdle is how long ReadTopic waits for a broker that sends nothing. It then returns
// an error rather than taking the silence for the end.
const readIdle = 30 * time.Second

// span is the range of offsets that is left to read of a partition.
type span struct{ from, to int64 }

// bounds returns the spans to read; partitions without records have none.
func bounds(ctx context.Context, adm *kadm.Client, topic string, since time.Time) (map[int32]*span, error) {
	list := func() (kadm.ListedOffsets, error) { return adm.ListStartOffsets(ctx, topic) }
	if !since.IsZero() {
		list = func() (kadm.ListedOffsets, error) { return adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic) }
	}
	froms, err := list()
	if err != nil {
		return nil, err
	}
	tos, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	left := map[int32]*span{}
	for n, from := range froms[topic] {
		to := tos[topic][n]
		if err := cmp.Or(from.Err, to.Err); err != nil {
			return nil, topicProblem(topic, err)
		}
		if from.Offset < to.Offset {
			left[n] = &span{from.Offset, to.Offset}
		}
	}
	return left, nil
}

// reader is the state of one call of ReadTopic.
type reader struct {
	cl     *kgo.Client
	unpack *unpacker
	topic  string
	left   map[int32]*span
	opts   ReadOptions
	fn     func(Record) error
}

func (r *reader) fetched(fetches kgo.Fetches) error {
	var failed error
	for _, c := range r.unpack.take(fetches) {
		defer r.unpack.release(c)
	}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		b := r.left[f.Partition]
		if failed == nil && b != nil {
			failed = r.partition(f, b)
		}
	})
	return failed
}

// partition passes the fetched records of one partition to fn.
func (r *reader) partition(f kgo.FetchTopicPartition, b *span) error {
	for _, rec := range f.Records {
		if rec.Offset >= b.to {
			break
		}
		if !rec.Attrs.IsControl() {
			if err := r.fn(fromKgo(rec)); err != nil {
				return err
			}
		}
		b.from = rec.Offset + 1
	}
	// The last offsets before the end may hold no record; a later record shows that.
	if len(f.Records) > 0 && f.Records[len(f.Records)-1].Offset >= b.to-1 {
		b.from = b.to
	}
	if _, full := errors.AsType[*errNoRoom](f.Err); full || f.Err == nil {
		return nil // memory is free again, and franz-go repeats the fetch
	}
	if batch, text, ok := tooLarge(f.Err, r.opts.MaxBatchBytes); ok {
		return r.skip(batch, text, b)
	}
	return fmt.Errorf("partition %d: %w", f.Partition, explain(f.Err))
}

// skip continues after a batch that cannot be unpacked.
func (r *reader) skip(batch *kgo.ErrDecompressTooLarge, text string, b *span) error {
	skipped := Skip{
		Partition: batch.Partition, From: max(batch.Offset, b.from), To: batch.NextOffset - 1,
		Err: fmt.Errorf("partition %d cannot be read: %s; raise it to read them", batch.Partition, text),
	}
	if r.opts.OnSkip == nil {
		return skipped.Err
	}
	if err := r.opts.OnSkip(skipped); err != nil {
		return err
	}
	b.from = batch.NextOffset
	r.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.topic: {batch.Partition: {Epoch: batch.Epoch, Offset: batch.NextOffset}}})
	return nil
}

// fromKgo converts a record of franz-go.
func fromKgo(r *kgo.Record) Record {
	out := Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: timeOf(r), Partition: r.Partition, Offset: r.Offset}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, connector.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
