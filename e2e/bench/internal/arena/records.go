// Package arena is what both sides of the benchmark share: the broker, its records, and the sink
// that counts deliveries.
package arena

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Records are the records of one topic, numbered from 0.
type Records struct {
	Count, Size, Keys, Partitions int
	// Rare puts only the first and the last record of each partition in the region that the filter
	// selects.
	Rare bool
}

// Topic returns a name that is unique to these Records.
func (r Records) Topic() string {
	return fmt.Sprintf("orders-%d-%d-%d-%d-%t", r.Count, r.Size, r.Keys, r.Partitions, r.Rare)
}

// Expected returns how many records pass the filter.
func (r Records) Expected() int {
	if r.Rare {
		return min(2*r.Partitions, r.Count)
	}
	return r.Count
}

// Passes reports whether record i passes the filter.
func (r Records) Passes(i int) bool {
	return !r.Rare || i < r.Partitions || i >= r.Count-r.Partitions
}

// Record returns record i, of about Size bytes.
func (r Records) Record(topic string, i int, at time.Time) *kgo.Record {
	key := i % r.Keys
	return &kgo.Record{
		Topic: topic, Partition: int32(key % r.Partitions), Timestamp: at,
		Key: fmt.Appendf(nil, "customer-%05d", key), Value: r.value(i),
	}
}

func (r Records) value(i int) []byte {
	region := "eu"
	if !r.Passes(i) {
		region = "us"
	}
	b := fmt.Appendf(nil, `{"legacy_id":"o-%09d","region":%q,"amount_cents":%d,"customer":{"id":"c-%d","name":"Ada \"Countess\" L.","tags":["a","b"]},"items":[`,
		i, region, 100+i%9999, i%1000)
	const tail = `],"note":"","order_status":"PAID"}`
	for n := 0; len(b)+len(tail)+60 < r.Size*3/4; n++ {
		if n > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"sku-%06d","quantity":%d,"price":%d.5}`, n, 1+n%7, n)
	}
	b = append(b, `],"note":"`...)
	b = append(b, strings.Repeat("x", max(0, r.Size-len(b)-len(`","order_status":"PAID"}`)))...)
	return append(b, `","order_status":"PAID"}`...)
}

// Produce creates the topic and writes all records to it.
func Produce(ctx context.Context, brokers []string, r Records) error {
	cl, err := producer(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := create(ctx, cl, r.Topic(), r.Partitions); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	base := time.Now().Truncate(time.Millisecond)
	for i := range r.Count {
		cl.Produce(ctx, r.Record(r.Topic(), i, base.Add(time.Duration(i)*time.Millisecond)), func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("write records: %w", context.Cause(ctx))
	}
	return nil
}

// Read reads all records once. The first reading after a gigabyte was written is slow, because the
// broker is busy with its memory; without Read the first contestant would pay for it.
func Read(ctx context.Context, brokers []string, r Records) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(r.Topic()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Topic(), err)
	}
	defer cl.Close()
	for n := 0; n < r.Count; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", r.Topic(), err)
		}
		n += fetches.NumRecords()
	}
	return nil
}

// Pace writes the records one by one at a fixed rate after ready is closed. It calls sent with
// each record before writing it. It writes record 0 at once, because ready may depend on it.
func Pace(ctx context.Context, brokers []string, topic string, r Records, perSecond int, ready <-chan struct{}, sent func(i int)) error {
	cl, err := producer(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := range r.Count {
		sent(i)
		cl.Produce(ctx, r.Record(topic, i, time.Now()), nil)
		wait := tick.C
		if i == 0 {
			select {
			case <-ready:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return cl.Flush(ctx)
}

func producer(brokers []string) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DisableClientMetrics())
}

func create(ctx context.Context, cl *kgo.Client, topic string, partitions int) error {
	resp, err := kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, nil, topic)
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	return nil
}

// Create creates a topic.
func Create(ctx context.Context, brokers []string, topic string, partitions int) error {
	cl, err := producer(brokers)
	if err != nil {
		return err
	}
	defer cl.Close()
	return create(ctx, cl, topic, partitions)
}

// Lag returns how many records of the topic the group has not committed.
func Lag(ctx context.Context, brokers []string, group, topic string) (int64, error) {
	cl, err := producer(brokers)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("ask where %s ends: %w", topic, err)
	}
	commits, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("ask for the commits of %s: %w", group, err)
	}
	var lag int64
	ends.Each(func(end kadm.ListedOffset) {
		at, _ := commits.Lookup(topic, end.Partition)
		lag += end.Offset - at.At
	})
	return lag, nil
}

// number parses the number of the record that an event was made from.
func number(event []byte) (int, bool) {
	const mark = `"order_id":"o-`
	at := bytes.Index(event, []byte(mark))
	if at < 0 || at+len(mark)+9 > len(event) {
		return 0, false
	}
	n, err := strconv.Atoi(string(event[at+len(mark) : at+len(mark)+9]))
	return n, err == nil
}
