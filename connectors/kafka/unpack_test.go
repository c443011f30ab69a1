package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// codecs are the codecs of batches that unpack to about 3 MiB.
var codecs3MiB = map[string]bomb{
	"gzip":                {codec: kgo.GzipCompression(), attrs: 1, records: 1, value: 3 << 20},
	"snappy":              {codec: kgo.SnappyCompression(), attrs: 2, records: 1, value: 3 << 20},
	"lz4":                 {codec: kgo.Lz4Compression(), attrs: 3, records: 1, value: 3 << 20},
	"zstd":                {codec: kgo.ZstdCompression(), attrs: 4, records: 1, value: 3 << 20},
	"zstd, small records": {codec: kgo.ZstdCompression(), attrs: 4, records: 3 << 10, value: 1 << 10},
}

// most records the most bytes that a running source held unpacked.
type most struct {
	src  atomic.Pointer[Source]
	seen atomic.Int64
}

func (m *most) OnFetchBatchRead(kgo.BrokerMetadata, string, int32, kgo.FetchBatchMetrics) {
	src := m.src.Load()
	if src == nil {
		return
	}
	src.mu.Lock()
	r := src.session
	src.mu.Unlock()
	if r == nil {
		return
	}
	// Records that move from one account to the other are in both for a moment; this
	// order, without those in transit, counts none twice.
	now := r.heldBytes()
	now += notPolled(r.unpack)
	for was := m.seen.Load(); now > was && !m.seen.CompareAndSwap(was, now); was = m.seen.Load() {
	}
}

// notPolled returns the cost of what was unpacked and not polled.
func notPolled(u *unpacker) (cost int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.fresh {
		cost += c.cost
	}
	for _, c := range u.waiting {
		cost += c.cost
	}
	return cost
}

// U14: the memory that fetches unpack to is bounded in total, for every codec; batches
// that do not fit at once are read later, and none is left out.
func TestSource_boundsWhatFetchesUnpackTo(t *testing.T) {
	const (
		parts  = 20
		batch  = 5 << 20
		buffer = 1 << 20
	)
	for name, b := range codecs3MiB {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "zstd" {
				t.Skip("takes seconds: left out with -short, which check does not set")
			}
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": parts}})
			plant(t, c, b.batch(t), 2, partitions(parts)...)
			var m most
			var handled atomic.Int64
			slow := make(chan struct{})
			s := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.MaxBatchBytes, cfg.MaxBufferedBytes = batch, buffer }),
				func(ctx context.Context, msg *connector.Message) {
					select {
					case <-slow:
					case <-ctx.Done():
					}
					if len(msg.Value) == b.value {
						handled.Add(1)
					}
					msg.Settle(nil)
				}, func(o *SourceOptions) { o.Options = []kgo.Opt{kgo.WithHooks(&m)} })
			m.src.Store(s.Source)
			eventually(t, "partitions wait for room", func() bool {
				s.Source.mu.Lock()
				defer s.Source.mu.Unlock()
				return s.session != nil && s.session.waitingForBudget.Load() >= parts/2
			})
			close(slow)
			eventually(t, "all records", func() bool { return handled.Load() == int64(2*parts*b.records) })
			if n := s.count(); n != 2*parts*b.records {
				t.Errorf("%d records were handed over, want each of %d once", n, 2*parts*b.records)
			}
			if got := m.seen.Load(); got > batch+2*buffer || got < 3<<20 {
				t.Errorf("%d bytes were held unpacked at once; the bound is %d, and one batch takes 3 MiB", got, batch+2*buffer)
			}
		})
	}
}

// U14: a large record that is not settled takes memory only from other large ones.
func TestSource_aStuckLargeRecordHoldsUpNoOrdinaryPartition(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 3}})
	plant(t, c, codecs3MiB["zstd"].batch(t), 1, 0, 1)
	stuck := make(chan struct{})
	first := make(chan int32, 2)
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.MaxBatchBytes, cfg.MaxBufferedBytes = 4<<20, 1<<20 }), func(ctx context.Context, msg *connector.Message) {
		if len(msg.Value) == 3<<20 {
			first <- msg.Position.Partition
			select {
			case <-stuck:
			case <-ctx.Done():
				msg.Settle(connector.ErrInterrupted)
				return
			}
		}
		msg.Settle(nil)
	})
	is := <-first
	for n := range 10 {
		plant(t, c, bomb{codec: kgo.ZstdCompression(), attrs: 4, records: 100, value: 2 << 10}.batch(t), 1, 2)
		eventually(t, "the ordinary partition", func() bool { return len(m.offsets(2)) == 100*(n+1) })
	}
	if n := len(m.offsets(1 - is)); n != 0 {
		t.Errorf("%d large records beside the one that is stuck, which takes all room", n)
	}
	close(stuck)
	eventually(t, "the other large record", func() bool { return len(m.offsets(1-is)) == 1 })
}

// U14: records and headers cost more than their bytes, and one batch can hold millions
// of them. The error names the place and the key to raise.
func TestSource_aBatchOfTooManyRecordsHoldsItsPartition(t *testing.T) {
	for name, b := range map[string]bomb{
		"tiny records": {codec: kgo.ZstdCompression(), attrs: 4, records: 30_000},
		"tiny headers": {codec: kgo.ZstdCompression(), attrs: 4, records: 1, headers: 1 << 20},
		"too much":     {codec: kgo.ZstdCompression(), attrs: 4, records: 2, value: 3 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
			fill(t, c, "t", 0, 0, 3)
			plant(t, c, b.batch(t), 1, 0)
			fill(t, c, "t", 1, 0, 3)
			m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.MaxBatchBytes, cfg.MaxBufferedBytes = 4<<20, 1<<20 }), nil)
			want := fmt.Sprintf("t partition 0 is on hold: its batch at offsets 3 to %d takes more memory than maxBatchBytes, 4MiB, allows; raise maxBatchBytes to read it, or reset the group's offset to %d to leave it out", 2+b.records, 3+b.records)
			eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, want) })
			eventually(t, "the other partition", func() bool { return len(m.offsets(1)) == 3 })
			if got := m.offsets(0); !slices.Equal(got, upTo(3)) {
				t.Errorf("read %v of the partition, want what is before the batch", got)
			}
			m.stop()
			raised := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.MaxBatchBytes = 128 << 20 }), nil)
			eventually(t, "the batch, once maxBatchBytes is raised", func() bool { return raised.count() == b.records })
		})
	}
}

// U14: ReadTopic, which reads dead letters, has the same budget, and leaves out only a
// batch that it cannot unpack.
func TestReadTopic_leavesOutWhatItCannotUnpack(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	fill(t, c, "t", 0, 0, 2)
	plant(t, c, codecs3MiB["zstd, small records"].batch(t), 1, 0)
	fill(t, c, "t", 0, 2, 2)
	plant(t, c, codecs3MiB["zstd"].batch(t), 1, 1)
	read := func(opts ReadOptions) (got map[int32]int, err error) {
		got = map[int32]int{}
		err = ReadTopic(t.Context(), ClientConfig{Brokers: c.Brokers()}, "t", opts, func(r Record) error { got[r.Partition]++; return nil })
		return got, err
	}
	got, err := read(ReadOptions{})
	if err != nil || got[0] != 4+3<<10 || got[1] != 1 {
		t.Errorf("read %v, %v; want all", got, err)
	}
	var skipped []Skip
	got, err = read(ReadOptions{MaxBatchBytes: 1 << 20, OnSkip: func(s Skip) error { skipped = append(skipped, s); return nil }})
	slices.SortFunc(skipped, func(a, b Skip) int { return int(a.Partition - b.Partition) })
	if err != nil || got[0] != 4 || got[1] != 0 || len(skipped) != 2 {
		t.Fatalf("read %v, %v, left out %v; want the four records around the batch", got, err, skipped)
	}
	const want = "partition 0 cannot be read: its batch at offsets 2 to 3073 takes more memory than maxBatchBytes, 1MiB, allows; raise it to read them"
	if s := skipped[0]; s.From != 2 || s.To != 3073 || s.Err.Error() != want {
		t.Errorf("left out %+v, want %s", s, want)
	}
	if _, err = read(ReadOptions{MaxBatchBytes: 1 << 20}); err == nil || !strings.Contains(err.Error(), "cannot be read: its batch at offsets ") {
		t.Errorf("without OnSkip: %v", err)
	}
	enough := errors.New("enough")
	if _, err = read(ReadOptions{MaxBatchBytes: 1 << 20, OnSkip: func(Skip) error { return enough }}); !errors.Is(err, enough) {
		t.Errorf("the error of OnSkip: %v", err)
	}
}

func TestWeigh(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []byte
		want int64
	}{
		"nothing":           {nil, 0},
		"records":           {bomb{records: 3, value: 10}.unpacked(), 3 * (17 + recordOverhead)},
		"headers":           {bomb{records: 2, headers: 5}.unpacked(), 2 * (17 + recordOverhead + 5*headerOverhead)},
		"no records":        {make([]byte, 100), 100},
		"a record cut off":  {bomb{records: 1, value: 10}.unpacked()[:9], 9},
		"an odd key":        {[]byte{14, 0, 0, 0, 200, 1, 1, 0}, 8 + recordOverhead},
		"an endless number": {[]byte{14, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, 8 + recordOverhead},
		"too many headers":  {[]byte{14, 0, 0, 0, 1, 1, 126, 0}, 8 + recordOverhead},
	} {
		if got := weigh(tc.in); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// Batches that franz-go discards without a report do not take memory for ever.
func TestUnpacker_forgetsWhatIsNeverPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, err := newUnpacker(1<<20, 1<<10, func() int64 { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		c, err := kgo.DefaultCompressor(kgo.SnappyCompression()) // zstd uses channels that do not work in a synctest bubble
		if err != nil {
			t.Fatal(err)
		}
		raw := bomb{records: 1, value: 2 << 10}.unpacked()
		packed, codec := c.Compress(new(bytes.Buffer), raw)
		unpack := func() error { _, err := u.Decompress(packed, codec); return err }
		read := func(broker int32) {
			u.OnFetchBatchRead(kgo.BrokerMetadata{NodeID: broker}, "t", broker, kgo.FetchBatchMetrics{NumRecords: 1, UncompressedBytes: len(raw), CompressedBytes: len(packed), CompressionType: 2})
		}
		if err := unpack(); err != nil {
			t.Fatal(err)
		}
		read(1)
		if full, ok := errors.AsType[*errNoRoom](unpack()); !ok || !strings.Contains(full.Error(), "no memory to unpack") {
			t.Error("a second batch found room that the first has")
		}
		u.OnBrokerRead(kgo.BrokerMetadata{NodeID: 1}, fetchKey, 0, 0, 0, nil)
		if err := unpack(); err == nil {
			t.Error("what was polled just now takes no room")
		}
		time.Sleep(2 * takeTimeout) // of the bubble's clock
		u.OnBrokerRead(kgo.BrokerMetadata{NodeID: 2}, fetchKey, 0, 0, 0, nil)
		u.OnBrokerRead(kgo.BrokerMetadata{NodeID: 1}, fetchKey+1, 0, 0, 0, nil)
		if err := unpack(); err == nil {
			t.Error("an answer of another broker, or to another request, made room")
		}
		u.OnBrokerRead(kgo.BrokerMetadata{NodeID: 1}, fetchKey, 0, 0, 0, nil)
		if err := unpack(); err != nil {
			t.Errorf("after the broker's next fetch: %v", err)
		}
		if err := unpack(); err == nil {
			t.Error("what is of no partition yet takes no room")
		}
		time.Sleep(2 * staleAfter) // of the bubble's clock
		if err := unpack(); err != nil {
			t.Errorf("later: %v", err)
		}
		read(1)
		time.Sleep(2 * staleAfter) // of the bubble's clock
		if err := unpack(); err != nil {
			t.Errorf("later, of a partition: %v", err)
		}
		if got := u.unpolled(); got <= 2<<10 || got > 3<<10 {
			t.Errorf("%d bytes in the account, want one batch", got)
		}
	})
}

// A record in flight must not keep a large batch in memory.
func TestSlab_copiesSmallRecordsOutOfALargeBatch(t *testing.T) {
	whole := bytes.Repeat([]byte("x"), 1000)
	in := []*kgo.Record{
		{Key: whole[:10], Value: whole[10:500], Headers: []kgo.RecordHeader{{Key: "h", Value: whole[:5]}}},
		{Value: whole[:500], Offset: 1},
		{Offset: 2},
	}
	same := func(a, b []byte) bool { return len(a) > 0 && &a[0] == &b[0] }
	for largest, copied := range map[int]bool{ordinaryBatch: false, ordinaryBatch + 1: true} {
		out := slab(nil, in, largest).records
		if got := &out[0]; same(got.Value, in[0].Value) == copied || same(got.Key, in[0].Key) == copied || same(got.Headers[0].Value, in[0].Headers[0].Value) == copied {
			t.Errorf("a batch of %d bytes: copied is not %v", largest, copied)
		}
		if !bytes.Equal(out[0].Key, in[0].Key) || !bytes.Equal(out[0].Value, in[0].Value) || out[0].Headers[0].Key != "h" || !bytes.Equal(out[1].Value, in[1].Value) || out[2].Value != nil || out[2].Key != nil {
			t.Errorf("a batch of %d bytes: %+v", largest, out)
		}
	}
	large := []*kgo.Record{{Value: make([]byte, ordinaryBatch)}}
	if got := &slab(nil, large, ordinaryBatch+100).records[0]; !same(got.Value, large[0].Value) {
		t.Error("the record that is the batch was copied")
	}
	var b arena
	if first, big := b.bytes(whole[:10]), b.bytes(make([]byte, arenaBlock)); cap(first) != 10 || len(big) != arenaBlock {
		t.Errorf("copies of %d and %d bytes", cap(first), len(big))
	}
}

// An empty key, value or header of a record also points into its batch.
func TestSlab_anEmptyFieldKeepsNoBatchInMemory(t *testing.T) {
	freed := make(chan struct{})
	records := func() []record { // nothing outside this function refers to the batch
		whole := make([]byte, ordinaryBatch+1)
		runtime.AddCleanup(&whole[0], func(freed chan struct{}) { close(freed) }, freed)
		empty := whole[100:100:100]
		return slab(nil, []*kgo.Record{{Key: empty, Value: empty, Headers: []kgo.RecordHeader{{Key: "h", Value: empty}}}}, len(whole)).records
	}()
	eventually(t, "the batch is freed", func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	})
	if got := &records[0]; got.Key == nil || got.Value == nil || got.Headers[0].Value == nil {
		t.Errorf("empty became none: key %v, value %v, headers %v", got.Key, got.Value, got.Headers)
	}
}

// A record in flight keeps its slab in memory, so a slab must not hold a large record
// that is settled already.
func TestSource_aRecordInFlightKeepsNoLargeNeighbour(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.DisableClientMetrics(), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchMaxBytes(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	err = cl.ProduceSync(t.Context(), kgo.StringRecord("stuck"), kgo.SliceRecord(make([]byte, 3<<20)), kgo.StringRecord("stuck")).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(testSource(c), SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	freed, stuck, done := make(chan struct{}), make(chan *connector.Message, 2), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
			if string(m.Value) == "stuck" {
				stuck <- m
				return
			}
			runtime.AddCleanup(&m.Value[0], func(freed chan struct{}) { close(freed) }, freed)
			m.Settle(nil)
		}))
	}()
	before, after := <-stuck, <-stuck
	eventually(t, "the large record is freed", func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	})
	before.Settle(nil)
	after.Settle(nil)
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAdaptFetch_asksForWhatFitsOnceUnpacked(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	m := begin(t, testSource(c), nil)
	eventually(t, "a session", func() bool { return m.assigned() == 1 })
	r := m.session
	r.onPoll(func() {
		for _, tc := range []struct {
			cost, wire      int64
			most, partition int32
		}{
			{512, 512, 0, 0}, // too little to tell
			{1 << 20, 1 << 20, 16 << 20, 1 << 20},
			{8 << 20, 1 << 20, 4 << 20, 1 << 20},
			{100 << 20, 1 << 20, 256 << 10, 256 << 10},
			{9000 << 20, 1 << 20, minFetchBytes, minFetchBytes},
		} {
			r.adaptFetch(charge{cost: tc.cost, wire: tc.wire})
			if r.fetchSize.total != tc.most || r.fetchSize.partition != tc.partition {
				t.Errorf("%d bytes of %d on the wire: asks for %d and %d, want %d and %d", tc.cost, tc.wire, r.fetchSize.total, r.fetchSize.partition, tc.most, tc.partition)
			}
		}
		for range 1000 {
			r.adaptFetch(charge{cost: 1 << 20, wire: 1 << 20})
		}
		if r.fetchSize.total != 16<<20 {
			t.Errorf("asks for %d long after", r.fetchSize.total)
		}
	})
}
