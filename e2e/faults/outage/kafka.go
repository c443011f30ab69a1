package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// deliveries is the topic of the kafka sink.
const deliveries = "deliveries"

// runKafka kills the broker of a kafka sink. The source uses another broker.
func runKafka(ctx context.Context, s *harness.Env) error {
	broker, err := kafkatest.StartReal(filepath.Join(s.Dir(), "broker"), kafkatest.RealOptions{})
	if err != nil {
		return err
	}
	defer broker.Close()
	// The timestamp of a record is its arrival at the broker.
	if err := broker.CreateTopic(ctx, deliveries, 1, map[string]string{"message.timestamp.type": "LogAppendTime"}); err != nil {
		return err
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(broker.Brokers()...), kgo.DisableClientMetrics(), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{deliveries: {0: kgo.NewOffset().AtStart()}}),
	)
	if err != nil {
		return fmt.Errorf("read what the sink wrote: %w", err)
	}
	reading, stop := context.WithCancel(ctx)
	out, done := new(sink), make(chan struct{})
	go func() {
		defer close(done)
		for reading.Err() == nil {
			for r := range cl.PollFetches(reading).RecordsAll() {
				a := arrival(r)
				s.Ledger.Delivered(a, a.ID, 0)
				out.arrivals.arrived(a.Data.N, r.Timestamp)
			}
		}
	}()
	defer func() {
		stop()
		<-done
		cl.Close()
	}()
	// The ledger could see a commit before the records behind it are read. So there are no commits
	// until the end.
	flow := strings.Replace(file(s, fmt.Sprintf("sink: {type: kafka, config: {brokers: [%q], topic: %s}}", broker.Brokers()[0], deliveries)),
		"startOffset:", "commitInterval: 1h, startOffset:", 1)
	k := kind{
		name: "kafka", title: "the broker of a kafka sink is killed", noCallsSeen: true,
		// A record that may already be on the wire is awaited without a deadline, any other record
		// for two fifths of drainTimeout. The client reconnects at least every five seconds.
		triesNeverFail: true, maxTryTime: 8 * time.Second, noticeDelay: 5 * time.Second,
		begin: func(context.Context, *harness.Env, *sink) error {
			broker.Kill(1)
			return nil
		},
		end: func(context.Context, *harness.Env, *sink) error {
			defer out.arrivals.completed()
			return broker.Start(1)
		},
	}
	return k.outage(ctx, s, out, flow, func() error { return nil })
}

// arrival parses a record in the binary mode of CloudEvents.
func arrival(r *kgo.Record) (a ledger.Arrival) {
	a.Data.N = -1
	_ = json.Unmarshal(r.Value, &a.Data) // the ledger reports a record that cannot be parsed
	for _, h := range r.Headers {
		if h.Key == "ce_id" {
			a.ID = string(h.Value)
		}
	}
	return a
}
