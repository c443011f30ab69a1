package kafka

import (
	"strings"

	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordOverhead is about how many bytes a record needs in memory beside its key, value
// and headers.
const recordOverhead = 256

// Bounds of one slab that holds more than one record: one record in flight keeps the
// whole slab in memory.
const (
	slabRecords = 1024
	slabBytes   = ordinaryBatch
)

// slabFit returns how many of the records, from the first on, fit one slab.
func slabFit(in []*kgo.Record) int {
	size := sizeOf(in[0])
	for n := 1; n < min(len(in), slabRecords); n++ {
		if size += sizeOf(in[n]); size > slabBytes {
			return n
		}
	}
	return min(len(in), slabRecords)
}

// slab turns records into messages, with one allocation for the records and one for
// their headers. Keys and values stay where franz-go unpacked them, except that small
// records of a large batch (largest is its size in bytes) are copied: one of them in
// flight would keep the whole batch in memory.
func slab(a *assignment, in []*kgo.Record, largest int) batch {
	headers := 0
	for _, r := range in {
		headers += len(r.Headers)
	}
	all := make([]connector.Header, 0, headers)
	out := make([]record, len(in))
	var small arena
	for i, from := range in {
		r := &out[i]
		r.a, r.epoch, r.control = a, from.LeaderEpoch, from.Attrs.IsControl()
		r.Key, r.Value, r.Time = from.Key, from.Value, timeOf(from)
		r.Position = connector.PartitionOffset(from.Topic, from.Partition, from.Offset)
		r.size = int64(len(from.Key) + len(from.Value) + recordOverhead)
		first := len(all)
		for _, h := range from.Headers {
			all = append(all, connector.Header{Key: h.Key, Value: h.Value})
			r.size += int64(len(h.Key) + len(h.Value))
		}
		if len(all) > first {
			r.Headers = all[first:len(all):len(all)]
		}
		if largest > ordinaryBatch && r.size < int64(largest)/2 {
			small.move(&r.Message)
		}
		r.Bind(r)
	}
	return batch{records: out}
}

// arena copies small keys, values and headers into blocks. One of them in flight keeps
// one block in memory.
type arena struct{ free []byte }

const arenaBlock = 16 << 10

// move replaces the message's bytes by copies.
func (b *arena) move(m *connector.Message) {
	m.Key, m.Value = b.bytes(m.Key), b.bytes(m.Value)
	for i := range m.Headers {
		h := &m.Headers[i]
		h.Key, h.Value = strings.Clone(h.Key), b.bytes(h.Value)
	}
}

func (b *arena) bytes(from []byte) []byte {
	switch n := len(from); {
	case from == nil:
		return nil
	case n == 0:
		return []byte{} // an empty slice of the batch would keep the batch in memory
	case n > arenaBlock/4:
		return append([]byte(nil), from...)
	case n > len(b.free):
		b.free = make([]byte, arenaBlock)
	}
	to := b.free[:len(from):len(from)]
	b.free = b.free[copy(to, from):]
	return to
}
