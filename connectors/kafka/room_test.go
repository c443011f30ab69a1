package kafka

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// backlog writes n records of 1000 bytes to partition 0 of two.
func backlog(t *testing.T, n int) *kafkatest.Cluster {
	t.Helper()
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	var rs []*kgo.Record
	for range n {
		rs = append(rs, &kgo.Record{Topic: "t", Value: bytes.Repeat([]byte("x"), 1000)})
	}
	if err := c.Produce(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
	return c
}

// narrow is a buffer that one partition's fetches fill over and over.
func narrow(fetchMaxWait time.Duration) func(*SourceConfig) {
	return func(cfg *SourceConfig) {
		cfg.FetchMaxPartitionBytes, cfg.FetchMaxBytes, cfg.MaxBufferedBytes = 50<<10, 100<<10, 100<<10
		cfg.FetchMaxWait = fetchMaxWait
	}
}

func TestSource_aBacklogDoesNotWaitForNewsOfAnotherPartition(t *testing.T) {
	c := backlog(t, 5000)
	m := begin(t, testSource(c, narrow(2*time.Second)), func(_ context.Context, m *connector.Message) { m.Settle(nil) })
	// Fetching is full about a hundred times. Were it to leave the partition out
	// each time, it would wait two seconds for partition 1 each time.
	eventually(t, "all of partition 0", func() bool { return m.count() == 5000 })
}

func TestAwaitRoom_endsWithItsContext(t *testing.T) {
	r := &session{room: make(chan struct{}, 1)}
	r.full.Add(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.awaitRoom(ctx)
}
