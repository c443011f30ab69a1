//go:build integration

package kafka

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// U14: a real broker stores batches that unpack to a thousand times their size, and
// sends as many packed batches as fit into a fetch.
func TestReal_boundsWhatFetchesUnpackTo(t *testing.T) {
	const parts, batch, buffer = 20, 12 << 20, 1 << 20
	c := kafkatest.Real(t, kafkatest.RealOptions{})
	for name, codec := range map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c, parts, nil)
			cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(16<<20))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			value := make([]byte, 10<<20)
			for n := range int32(2 * parts) {
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: p.topic, Partition: n % parts, Value: value}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			var m most
			var handled atomic.Int64
			s := begin(t, p.source(func(cfg *SourceConfig) { cfg.MaxBatchBytes, cfg.MaxBufferedBytes = batch, buffer }),
				func(_ context.Context, msg *connector.Message) {
					if len(msg.Value) == len(value) {
						handled.Add(1)
					}
					msg.Settle(nil)
				}, func(o *SourceOptions) { o.Options = []kgo.Opt{kgo.WithHooks(&m)} })
			m.src.Store(s.Source)
			eventually(t, "all records", func() bool { return handled.Load() == 2*parts })
			if got := m.seen.Load(); got > batch+2*buffer || got < int64(len(value)) {
				t.Errorf("%d bytes were held unpacked at once; the bound is %d", got, batch+2*buffer)
			}
		})
	}
}
