package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bomb is a record batch that is small on the wire and large once unpacked.
type bomb struct {
	codec   kgo.CompressionCodec
	attrs   int16
	records int
	value   int // bytes of each value
	headers int // of each record, empty
}

var zstdBomb = bomb{codec: kgo.ZstdCompression(), attrs: 4, records: 1, value: 47 << 20}

// unpacked returns the records of the batch in Kafka's format.
func (b bomb) unpacked() []byte {
	value := make([]byte, b.value)
	var all, one []byte
	for n := range b.records {
		one = append(one[:0], 0)                         // attributes
		one = binary.AppendVarint(one, 0)                // timestamp delta
		one = binary.AppendVarint(one, int64(n))         // offset delta
		one = binary.AppendVarint(one, -1)               // no key
		one = binary.AppendVarint(one, int64(b.value))   // value
		one = append(one, value...)                      //
		one = binary.AppendVarint(one, int64(b.headers)) // headers, of an empty name and no value each
		for range b.headers {
			one = append(one, 0, 1)
		}
		all = binary.AppendVarint(all, int64(len(one)))
		all = append(all, one...)
	}
	return all
}

// batch returns the record batch as it is sent.
func (b bomb) batch(t testing.TB) []byte {
	t.Helper()
	raw := b.unpacked()
	if b.attrs != 0 {
		c, err := kgo.DefaultCompressor(b.codec)
		if err != nil {
			t.Fatal(err)
		}
		packed, _ := c.Compress(new(bytes.Buffer), raw)
		raw = bytes.Clone(packed)
	}
	rb := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: b.attrs, LastOffsetDelta: int32(b.records - 1),
		FirstTimestamp: time.Now().UnixMilli(), MaxTimestamp: time.Now().UnixMilli(),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(b.records), Records: raw,
	}
	out := rb.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// plant writes a batch to partitions of topic t, the given number of times to each.
func plant(t testing.TB, c *kafkatest.Cluster, batch []byte, times int, partitions ...int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, n := range partitions {
		for range times {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = n, batch
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic, topic.TopicID = "t", c.Fake.TopicInfo("t").TopicID
			topic.Partitions = append(topic.Partitions, p)
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis = -1, 10_000
			req.Topics = append(req.Topics, topic)
			resp, err := req.RequestWith(t.Context(), cl)
			if err != nil {
				t.Fatal(err)
			}
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("partition %d: error code %d", n, code)
			}
		}
	}
}

func partitions(n int32) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// peak returns the process's largest memory use since the last call, in MiB.
func peak(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc")
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		b.Fatal(err)
	}
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600); err != nil {
		b.Skip(err)
	}
	return float64(kb) / 1024
}

// The memory that 100 small batches need that unpack to much. The broker runs in the
// same process and holds the packed batches.
func BenchmarkSource_batchesThatUnpackToMuch(b *testing.B) {
	debug.SetMemoryLimit(160 << 20) // as fiso-flow sets it while its heap is small
	defer debug.SetMemoryLimit(-1)
	for name, bomb := range map[string]bomb{
		"zstd, one record":      zstdBomb,
		"gzip, one record":      {codec: kgo.GzipCompression(), attrs: 1, records: 1, value: 47 << 20},
		"lz4, one record":       {codec: kgo.Lz4Compression(), attrs: 3, records: 1, value: 47 << 20},
		"zstd, records of 1KiB": {codec: kgo.ZstdCompression(), attrs: 4, records: 46 << 10, value: 1 << 10},
	} {
		for parts, times := range map[int32]int{100: 1, 1: 100} {
			b.Run(fmt.Sprintf("%s/%d partitions", name, parts), func(b *testing.B) {
				c := kafkatest.Embedded(b, kafkatest.Options{Topics: map[string]int32{"t": parts}})
				batch := bomb.batch(b)
				plant(b, c, batch, times, partitions(parts)...)
				peak(b)
				idle := peak(b)
				src, err := NewSource(testSource(c), SourceOptions{})
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				all := make(chan struct{}, 100*bomb.records)
				go func() {
					ended <- src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) { m.Settle(nil); all <- struct{}{} }))
				}()
				for range 100 * bomb.records {
					<-all
				}
				most := peak(b)
				cancel()
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(batch))/1024, "KiB/batch")
				b.ReportMetric(most-idle, "MiB-over-idle")
			})
		}
	}
}

func BenchmarkReadTopic_batchesThatUnpackToMuch(b *testing.B) {
	debug.SetMemoryLimit(160 << 20) // see above
	defer debug.SetMemoryLimit(-1)
	c := kafkatest.Embedded(b, kafkatest.Options{Topics: map[string]int32{"t": 100}})
	plant(b, c, zstdBomb.batch(b), 1, partitions(100)...)
	peak(b)
	idle, records := peak(b), 0
	err := ReadTopic(b.Context(), ClientConfig{Brokers: c.Brokers()}, "t", ReadOptions{}, func(Record) error { records++; return nil })
	if err != nil || records != 100 {
		b.Fatal(records, err)
	}
	b.ReportMetric(peak(b)-idle, "MiB-over-idle")
}
