package kafka

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadOptions say where ReadTopic begins. The zero value reads all there is.
type ReadOptions struct {
	// Since leaves out what is older, by the records' own time.
	Since time.Time
	// Dial opens connections, for tests; nil: the net package does.
	Dial DialFunc
}

// ReadTopic calls fn with each record of a topic, from its start, or from a
// time, to where it ended when ReadTopic was called. Records of open and aborted
// transactions are left out. Those of a partition come in order, one call at a
// time; fn may keep the bytes. No group is joined and nothing is committed. It
// returns the first error of fn, or why the topic cannot be read.
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
	cl, err := kgo.NewClient(append(conn,
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
		if err := readFetches(fetches, left, fn); err != nil {
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

// readIdle is how long ReadTopic waits for a broker that sends nothing. It
// reports that rather than taking it for the end.
const readIdle = 30 * time.Second

// span is what is left to read of a partition.
type span struct{ from, to int64 }

// bounds are the spans to read; partitions without records have none.
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

func readFetches(fetches kgo.Fetches, left map[int32]*span, fn func(Record) error) error {
	var failed error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		b := left[f.Partition]
		if failed == nil && f.Err != nil {
			failed = fmt.Errorf("partition %d: %w", f.Partition, explain(f.Err))
		}
		for _, r := range f.Records {
			if failed != nil || b == nil || r.Offset >= b.to {
				break
			}
			if !r.Attrs.IsControl() {
				failed = fn(fromKgo(r))
			}
			b.from = r.Offset + 1
		}
		// The last offsets before the end may be gone; a later record tells.
		if b != nil && len(f.Records) > 0 && f.Records[len(f.Records)-1].Offset >= b.to-1 {
			b.from = b.to
		}
	})
	return failed
}

// fromKgo is a record of franz-go as one of ours.
func fromKgo(r *kgo.Record) Record {
	out := Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: timeOf(r), Partition: r.Partition, Offset: r.Offset}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, connector.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
