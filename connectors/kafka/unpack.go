package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/twmb/franz-go/pkg/kgo"
)

// unpacker is the decompressor of a reader, with a budget. franz-go unpacks all
// batches of a fetch before anything of it can be polled, so 100 batches of
// 10 KiB can take gigabytes. The unpacker refuses a batch that there is no room
// for. franz-go then hands over what it has of that partition, and asks for the
// refused batch again; when the batch was the partition's first, it reports
// errNoRoom instead, and the reader asks again once there is room.
//
// Batches of ordinary size are refused for what franz-go holds alone: what a
// stuck partition holds must not keep others from being read. A large batch must
// fit beside all that is held, or find nothing held. One that is too large to be
// unpacked even so is kgo.ErrMaxDecompress.
type unpacker struct {
	inner  kgo.Decompressor
	batch  int64        // most that one batch may unpack to
	buffer int64        // most that may be unpacked and not yet polled when another batch is begun
	held   func() int64 // what was polled and is held by the reader still

	// turn lets one batch be unpacked at a time, so that at most one is not
	// counted in sum yet.
	turn sync.Mutex

	mu      sync.Mutex
	fresh   []charge      // unpacked a moment ago, and of no known partition yet
	waiting map[tp]charge // of franz-go's, until polled
	sum     int64         // of the cost of both
}

// charge is what some unpacked records cost.
type charge struct {
	unpacked int   // bytes
	largest  int   // batch of them, in unpacked bytes
	cost     int64 // bytes, with what the records cost beside theirs
	wire     int64 // bytes as they came
	broker   int32
	at       time.Time
}

// add adds what other costs.
func (c *charge) add(other charge) {
	c.unpacked += other.unpacked
	c.largest = max(c.largest, other.largest)
	c.cost += other.cost
	c.wire += other.wire
}

// staleAfter is when a charge is dropped that was not polled: franz-go threw its
// records away, as it does at a rebalance, without a word. A reader that lives
// polls far more often.
const staleAfter = 5 * time.Second

// errNoRoom is the refusal of a batch that there is no room for yet.
type errNoRoom struct{ need int64 } // 0: unknown, the batch was not looked at

func (e *errNoRoom) Error() string {
	return "no room to unpack a batch, until some of what is held was handed over"
}

// ordinaryBatch is the cost up to which a batch is not large. Producers make
// batches of 16 KiB to 1 MiB.
const ordinaryBatch = 1 << 20

// newUnpacker is a decompressor for batches of up to batch bytes, which keeps
// what is unpacked and not yet polled to about buffer. held is what the reader
// holds of what was polled.
func newUnpacker(batch, buffer int64, held func() int64) (*unpacker, error) {
	// Only a client of franz-go makes a decompressor with a bound.
	cl, err := kgo.NewClient(kgo.MaxDecompressBatchBytes(int(batch)), kgo.WithPools(sizedBuffers{batch}))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOptions, err)
	}
	defer cl.Close()
	inner, ok := cl.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		return nil, fmt.Errorf("%w: no decompressor", errOptions)
	}
	return &unpacker{inner: inner, batch: batch, buffer: buffer, held: held, waiting: map[tp]charge{}}, nil
}

var (
	_ kgo.Decompressor       = (*unpacker)(nil)
	_ kgo.HookBrokerRead     = (*unpacker)(nil)
	_ kgo.HookFetchBatchRead = (*unpacker)(nil)
)

// Decompress is called by franz-go, by one goroutine a broker.
func (u *unpacker) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	u.turn.Lock()
	defer u.turn.Unlock()
	if !u.fits(0, 0) {
		return nil, &errNoRoom{}
	}
	out, err := u.inner.Decompress(src, codec)
	if err != nil {
		return nil, err //nolint:wrapcheck // franz-go looks for its own
	}
	cost := weigh(out)
	if cost > u.batch+u.buffer {
		return nil, fmt.Errorf("%w: its records take %d MiB", kgo.ErrMaxDecompress, cost>>20)
	}
	if !u.fits(cost, 0) {
		return nil, &errNoRoom{cost}
	}
	if cap(out) > len(out)+len(out)/4+4096 {
		out = slices.Clone(out)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sum += cost
	u.fresh = append(u.fresh, charge{unpacked: len(out), cost: cost, at: time.Now()})
	return out, nil
}

// fits reports whether there is room for a batch of that cost (0: of ordinary
// size) beside what is held and what was given away already.
func (u *unpacker) fits(cost, given int64) bool {
	if u.hasRoom(cost, given) {
		return true
	}
	u.dropStale()
	return u.hasRoom(cost, given)
}

func (u *unpacker) hasRoom(cost, given int64) bool {
	unpolled := u.unpolled() + given
	if cost <= ordinaryBatch {
		return unpolled < u.buffer
	}
	others := unpolled + u.held()
	return others == 0 || others+cost <= u.batch+2*u.buffer
}

// unpolled is the cost of what franz-go has unpacked and not handed over.
func (u *unpacker) unpolled() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sum
}

func (u *unpacker) dropStale() {
	stale := time.Now().Add(-staleAfter)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fresh = slices.DeleteFunc(u.fresh, func(c charge) bool {
		old := c.at.Before(stale)
		if old {
			u.sum -= c.cost
		}
		return old
	})
	for at, c := range u.waiting {
		if c.at.Before(stale) {
			u.drop(at)
		}
	}
}

// drop takes what waits of a partition out of the account. It needs mu.
func (u *unpacker) drop(at tp) {
	u.sum -= u.waiting[at].cost
	delete(u.waiting, at)
}

// OnFetchBatchRead tells of which partition a batch is, compressed or not. It is
// called by the goroutine that had it unpacked, at once.
func (u *unpacker) OnFetchBatchRead(broker kgo.BrokerMetadata, topic string, partition int32, m kgo.FetchBatchMetrics) {
	if m.NumRecords == 0 {
		return
	}
	at := tp{topic, partition}
	u.mu.Lock()
	defer u.mu.Unlock()
	cost := int64(m.UncompressedBytes) + int64(m.NumRecords)*recordOverhead
	i := slices.IndexFunc(u.fresh, func(c charge) bool { return c.unpacked == m.UncompressedBytes })
	if m.CompressionType != 0 && i >= 0 { // in the account already
		cost = u.fresh[i].cost
		u.fresh = slices.Delete(u.fresh, i, i+1)
	} else {
		u.sum += cost
	}
	c := u.waiting[at]
	c.add(charge{unpacked: m.UncompressedBytes, largest: m.UncompressedBytes, cost: cost, wire: int64(m.CompressedBytes)})
	c.broker, c.at = broker.NodeID, time.Now()
	u.waiting[at] = c
}

// OnBrokerRead hears of an answer to a fetch, before any of it is unpacked. A
// broker has one fetch under way, which is sent when the one before was polled,
// or was dropped. What was polled just now may not be taken yet.
func (u *unpacker) OnBrokerRead(broker kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key != fetchKey {
		return
	}
	before := time.Now().Add(-takeTimeout)
	u.mu.Lock()
	defer u.mu.Unlock()
	for at, c := range u.waiting {
		if c.broker == broker.NodeID && c.at.Before(before) {
			u.drop(at)
		}
	}
}

// takeTimeout is how long after a poll its charges are surely taken.
const takeTimeout = 100 * time.Millisecond

const fetchKey = 1

// take hands what was polled over to the reader, in the order of EachPartition.
// It stays in the account until release, so that it is never in none.
func (u *unpacker) take(fetches kgo.Fetches) (all []charge) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		at := tp{f.Topic, f.Partition}
		all = append(all, u.waiting[at])
		delete(u.waiting, at)
	})
	return all
}

// release takes a charge out of the account: the reader has what it stands for
// in its own, or is done with it.
func (u *unpacker) release(c charge) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sum -= c.cost
}

// headerOverhead is about what a header costs beside its bytes.
const headerOverhead = 48

// weigh is what the records of an unpacked batch will cost in memory: their
// bytes, and for each record and header what it needs beside these. Records as
// small as 7 bytes are possible, and headers of 2.
func weigh(records []byte) int64 {
	cost := int64(len(records))
	for len(records) > 0 {
		size, n := binary.Varint(records)
		if n <= 0 || size < leastRecord || size > int64(len(records)-n) {
			break // franz-go reads no further either
		}
		cost += recordOverhead + headerOverhead*countHeaders(records[n:n+int(size)])
		records = records[n+int(size):]
	}
	return cost
}

const leastRecord = 6 // attributes, two deltas, no key, no value, no headers

// countHeaders is how many headers a record says that it has.
func countHeaders(record []byte) int64 {
	record = record[1:] // attributes
	for field := range 4 {
		size, n := binary.Varint(record) // two deltas, then the sizes of key and value
		if n <= 0 {
			return 0
		}
		record = record[n:]
		if field < 2 || size < 0 {
			continue
		}
		if size > int64(len(record)) {
			return 0
		}
		record = record[size:]
	}
	headers, n := binary.Varint(record)
	if n <= 0 || headers < 0 || headers > int64(len(record)) {
		return 0
	}
	return headers
}

// sizedBuffers gives codecs that do not know how much they will write a place of about
// the size, so that what they write is not written twice.
type sizedBuffers struct{ most int64 }

// GetDecompressBytes is called by franz-go before it unpacks.
func (s sizedBuffers) GetDecompressBytes(src []byte, codec kgo.CompressionCodecType) []byte {
	const spare = 512 // that a buffer wants free at its end
	switch codec {
	case kgo.CodecGzip:
		if len(src) < 4 {
			return nil
		}
		claimed := int64(binary.LittleEndian.Uint32(src[len(src)-4:]))
		return make([]byte, 0, min(claimed, s.most)+spare)
	case kgo.CodecLz4:
		return make([]byte, 0, min(4*int64(len(src)), s.most)+spare)
	default:
		return nil // these allocate what they need
	}
}

// PutDecompressBytes is called when unpacking failed.
func (sizedBuffers) PutDecompressBytes([]byte) {}

// tooLarge says of a batch that cannot be unpacked where it stands, and what to
// do; false when err is something else.
func tooLarge(err error, most int64) (*kgo.ErrDecompressTooLarge, string, bool) {
	batch, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err)
	if !ok {
		return nil, "", false
	}
	return batch, fmt.Sprintf("its batch at offsets %d to %d takes more memory than maxBatchBytes, %v, allows", batch.Offset, batch.NextOffset-1, config.Bytes(most)), true
}
