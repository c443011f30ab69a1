package kafka

import (
	"bytes"
	"context"
	"sync/atomic"
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
	for range n / 50 { // a fetch brings whole batches, so they are small
		var rs []*kgo.Record
		for range 50 {
			rs = append(rs, &kgo.Record{Topic: "t", Value: bytes.Repeat([]byte("x"), 1000)})
		}
		if err := c.Produce(t.Context(), rs...); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// narrow sets a buffer that one partition's fetches fill again and again.
func narrow(fetchMaxWait time.Duration) func(*SourceConfig) {
	return func(cfg *SourceConfig) {
		cfg.FetchMaxPartitionBytes, cfg.FetchMaxBytes, cfg.MaxBufferedBytes = 50<<10, 100<<10, 100<<10
		cfg.FetchMaxWait = fetchMaxWait
	}
}

func TestSource_aBacklogDoesNotWaitForNewsOfAnotherPartition(t *testing.T) {
	const all = 15_000
	c := backlog(t, all)
	cfg := testSource(c, narrow(3*time.Second))
	src, err := NewSource(cfg, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// From time to time the handler lets the buffer become full, and then continues. If
	// the partition were paused each time, it would wait for records of partition 1
	// each time, three seconds.
	var n atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
			if n.Load()%100 == 0 {
				eventually(t, "a full buffer, or the end", func() bool { return fullOrAt(src, all) })
			}
			m.Settle(nil)
			n.Add(1)
		}))
	}()
	eventually(t, "all of partition 0", func() bool { return n.Load() == all })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// fullOrAt reports whether enough of partition 0 is buffered, or all of it was
// fetched.
func fullOrAt(src *Source, end int64) bool {
	src.mu.Lock()
	r := src.session
	src.mu.Unlock()
	for _, a := range r.live() {
		a.mu.Lock()
		ok := a.part.partition == 0 && (a.full || a.part.holding(holdFull) || a.fetched == end)
		a.mu.Unlock()
		if ok {
			return true
		}
	}
	return false
}

func TestAwaitRoom_endsWithItsContext(t *testing.T) {
	r := &session{buffersFreed: make(chan struct{}, 1)}
	r.fullBuffers.Add(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.awaitBuffers(ctx)
}
