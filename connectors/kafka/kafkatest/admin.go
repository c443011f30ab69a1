package kafkatest

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Admin prepares a cluster for a test and reads its state. It works for embedded and
// real clusters, and is safe for concurrent use.
type Admin struct {
	brokers []string
	opts    []kgo.Opt
	cl      *kgo.Client
	adm     *kadm.Client
}

func newAdmin(brokers []string, opts []kgo.Opt) (Admin, error) {
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(10),
		kgo.ProducerBatchMaxBytes(32 << 20), // only the broker limits the size of a record
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return Admin{}, err
	}
	return Admin{brokers: brokers, opts: opts, cl: cl, adm: kadm.NewClient(cl)}, nil
}

func (a *Admin) close() { a.cl.Close() }

// CreateTopic creates a topic; configs may be nil.
func (a *Admin) CreateTopic(ctx context.Context, topic string, partitions int32, configs map[string]string) error {
	conf := map[string]*string{}
	for k, v := range configs {
		conf[k] = &v
	}
	resp, err := a.adm.CreateTopic(ctx, partitions, -1, conf, topic)
	return firstErr("create topic", topic, err, resp.Err)
}

// AddPartitions raises a topic's number of partitions to total.
func (a *Admin) AddPartitions(ctx context.Context, topic string, total int) error {
	resp, err := a.adm.UpdatePartitions(ctx, total, topic)
	a.cl.PurgeTopicsFromProducing(topic) // so that Produce sees the new ones
	return firstErr("add partitions to", topic, err, resp[topic].Err)
}

// DeleteRecords deletes the records of a partition below offset.
func (a *Admin) DeleteRecords(ctx context.Context, topic string, partition int32, offset int64) error {
	var to kadm.Offsets
	to.AddOffset(topic, partition, offset, -1)
	resp, err := a.adm.DeleteRecords(ctx, to)
	return firstErr("delete records of", topic, err, resp[topic][partition].Err)
}

func firstErr(what, topic string, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("%s %s: %w", what, topic, err)
		}
	}
	return nil
}

// Produce writes records to their partitions and waits until all are stored.
func (a *Admin) Produce(ctx context.Context, records ...*kgo.Record) error {
	return a.cl.ProduceSync(ctx, records...).FirstErr()
}

// ProduceTx writes records in a transaction, and commits or aborts it.
func (a *Admin) ProduceTx(ctx context.Context, id string, commit bool, records ...*kgo.Record) (err error) {
	cl, err := kgo.NewClient(append(a.opts[:len(a.opts):len(a.opts)], kgo.TransactionalID(id))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	err = cl.ProduceSync(ctx, records...).FirstErr()
	return errors.Join(err, cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
}

// Committed returns a group's committed offsets of a topic, by partition.
func (a *Admin) Committed(ctx context.Context, group, topic string) (map[int32]int64, error) {
	all, err := a.adm.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read commits of %s: %w", group, err)
	}
	out := map[int32]int64{}
	for n, o := range all[topic] {
		out[n] = o.At
	}
	return out, nil
}

// Commit commits an offset for a group that has no members.
func (a *Admin) Commit(ctx context.Context, group, topic string, partition int32, offset int64) error {
	var at kadm.Offsets
	at.AddOffset(topic, partition, offset, -1)
	resp, err := a.adm.CommitOffsets(ctx, group, at)
	return firstErr("commit", topic, err, resp[topic][partition].Err)
}

// Ends returns the end offsets of a topic's partitions.
func (a *Admin) Ends(ctx context.Context, topic string) (map[int32]int64, error) {
	all, err := a.adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list ends of %s: %w", topic, err)
	}
	out := map[int32]int64{}
	for n, o := range all[topic] {
		out[n] = o.Offset
	}
	return out, nil
}

// Records returns all records of a topic without those of open and aborted
// transactions, in order within each partition.
func (a *Admin) Records(ctx context.Context, topic string) ([]*kgo.Record, error) {
	ends, err := a.Ends(ctx, topic)
	if err != nil {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	for n, end := range ends {
		if end > 0 {
			from[n] = kgo.NewOffset().AtStart()
		}
	}
	cl, err := kgo.NewClient(append(a.opts[:len(a.opts):len(a.opts)], kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []*kgo.Record
	for len(from) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if r.Offset >= ends[r.Partition]-1 {
				delete(from, r.Partition)
			}
		})
	}
	return out, nil
}
