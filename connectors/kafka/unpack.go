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

// unpacker is the decompressor of a reader, with a memory budget. franz-go unpacks all
// batches of a fetch before any of it can be polled, so 100 batches of 10 KiB can take
// gigabytes. The unpacker refuses a batch that does not fit the budget. franz-go then
// hands over the earlier batches of that partition and fetches the refused one again.
// When the refused batch was the partition's first, franz-go reports errNoRoom instead,
// and the reader fetches again once it fits.
//
// For a batch of ordinary size only the memory that franz-go holds counts, so that a
// stuck partition does not keep others from being read. A large batch must fit beside
// all memory held, or wait until nothing is held. A batch that does not fit even then
// is kgo.ErrMaxDecompress.
type unpacker struct {
	inner  kgo.Decompressor
	batch  int64        // largest unpacked batch, in bytes
	buffer int64        // bytes unpacked and not polled, from which on no batch is unpacked
	held   func() int64 // bytes that were polled and that the reader still holds

	// unpackMu serializes unpacking, so that at most one batch is missing in sum.
	unpackMu sync.Mutex

	mu      sync.Mutex
	fresh   []charge      // just unpacked; the partition is not known yet
	waiting map[tp]charge // unpacked and not polled
	sum     int64         // cost of fresh and waiting
}

// charge is what some unpacked records cost.
type charge struct {
	unpacked int   // bytes
	largest  int   // largest batch, in unpacked bytes
	cost     int64 // bytes of memory, with the overhead of each record
	wire     int64 // bytes on the wire
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

// staleAfter is the age at which a charge that was not polled is dropped. franz-go has
// then discarded its records, as it does at a rebalance without reporting it; a live
// reader polls far more often.
const staleAfter = 5 * time.Second

// errNoRoom refuses a batch that does not fit the budget now.
type errNoRoom struct{ need int64 } // bytes; 0: unknown, the batch was not unpacked

func (e *errNoRoom) Error() string {
	return "no memory to unpack a batch until records that are held were handed over"
}

// ordinaryBatch is the largest cost, in bytes, of a batch that is not large. Producers
// make batches of 16 KiB to 1 MiB.
const ordinaryBatch = 1 << 20

// newUnpacker returns a decompressor for batches of up to batch bytes, which keeps the
// bytes that are unpacked and not polled to about buffer. held returns how many polled
// bytes the reader holds.
func newUnpacker(batch, buffer int64, held func() int64) (*unpacker, error) {
	// Only a franz-go client can make a decompressor with a bound.
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

// Decompress is called by franz-go, by one goroutine per broker.
func (u *unpacker) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	u.unpackMu.Lock()
	defer u.unpackMu.Unlock()
	if !u.fits(0, 0) {
		return nil, &errNoRoom{}
	}
	out, err := u.inner.Decompress(src, codec)
	if err != nil {
		return nil, err //nolint:wrapcheck // franz-go compares this error
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

// fits reports whether a batch of that cost (0: of ordinary size) fits beside the
// memory that is held and the given bytes.
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

// unpolled returns the cost of what franz-go has unpacked and not handed over.
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

// drop removes the charge of a partition. It needs mu.
func (u *unpacker) drop(at tp) {
	u.sum -= u.waiting[at].cost
	delete(u.waiting, at)
}

// OnFetchBatchRead is called by franz-go with the partition of each batch, compressed
// or not, by the goroutine that unpacked it, right after.
func (u *unpacker) OnFetchBatchRead(broker kgo.BrokerMetadata, topic string, partition int32, m kgo.FetchBatchMetrics) {
	if m.NumRecords == 0 {
		return
	}
	at := tp{topic, partition}
	u.mu.Lock()
	defer u.mu.Unlock()
	cost := int64(m.UncompressedBytes) + int64(m.NumRecords)*recordOverhead
	i := slices.IndexFunc(u.fresh, func(c charge) bool { return c.unpacked == m.UncompressedBytes })
	if m.CompressionType != 0 && i >= 0 { // Decompress has counted it
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

// OnBrokerRead is called by franz-go for each answer, before a fetch in it is unpacked.
// A broker has one fetch in flight, which is sent after the previous one was polled or
// discarded. So charges of this broker that are still waiting were discarded, except
// those that were polled just now and are not taken yet.
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

// takeTimeout bounds the time between a poll and take.
const takeTimeout = 100 * time.Millisecond

const fetchKey = 1

// take returns the charges of what was polled, in the order of EachPartition. They stay
// in sum until release, when the reader counts the records itself.
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

// release removes a charge: the reader now counts its records, or has dropped them.
func (u *unpacker) release(c charge) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sum -= c.cost
}

// headerOverhead is about how many bytes a header needs in memory besides its key and
// value.
const headerOverhead = 48

// weigh returns how many bytes the records of an unpacked batch will need in memory:
// their bytes, and the overhead of each record and header. A record can be as small as
// 7 bytes, a header 2.
func weigh(records []byte) int64 {
	cost := int64(len(records))
	for len(records) > 0 {
		size, n := binary.Varint(records)
		if n <= 0 || size < leastRecord || size > int64(len(records)-n) {
			break // franz-go stops here too
		}
		cost += recordOverhead + headerOverhead*countHeaders(records[n:n+int(size)])
		records = records[n+int(size):]
	}
	return cost
}

const leastRecord = 6 // attributes, two deltas, no key, no value, no headers

// countHeaders returns the number of headers that a record claims.
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

// sizedBuffers gives codecs that do not know the unpacked size a buffer of about that
// size, so that it need not grow and be copied.
type sizedBuffers struct{ most int64 }

// GetDecompressBytes is called by franz-go before it unpacks.
func (s sizedBuffers) GetDecompressBytes(src []byte, codec kgo.CompressionCodecType) []byte {
	const spare = 512 // bytes.Buffer wants free space at its end
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

// tooLarge describes a batch that cannot be unpacked; false when err is another error.
func tooLarge(err error, most int64) (*kgo.ErrDecompressTooLarge, string, bool) {
	batch, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err)
	if !ok {
		return nil, "", false
	}
	return batch, fmt.Sprintf("its batch at offsets %d to %d takes more memory than maxBatchBytes, %v, allows",
		batch.Offset, batch.NextOffset-1, config.Bytes(most)), true
}
