package kafka

import (
	"strings"

	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordOverhead is about what a record costs beside its bytes.
const recordOverhead = 256

// The most records in one slab, and bytes of more than one: as long as one record
// is in flight, the memory of all is.
const (
	slabRecords = 1024
	slabBytes   = ordinaryBatch
)

// slabFit is how many of the records, from the first on, one slab takes.
func slabFit(in []*kgo.Record) int {
	size := sizeOf(in[0])
	for n := 1; n < min(len(in), slabRecords); n++ {
		if size += sizeOf(in[n]); size > slabBytes {
			return n
		}
	}
	return min(len(in), slabRecords)
}

// slab turns records into messages, all in one allocation and their headers in
// another. Keys and values stay where franz-go unpacked them, unless that is a
// batch of largest bytes, and large: a small record that is long in flight would
// keep all of it.
func slab(a *assignment, in []*kgo.Record, largest int) batch {
	headers := 0
	for _, r := range in {
		headers += len(r.Headers)
	}
	all := make([]connector.Header, 0, headers)
	out := make([]record, len(in))
	var apart arena
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
			apart.move(&r.Message)
		}
		r.Bind(r)
	}
	return batch{records: out}
}

// arena copies small things into blocks of a size that may stay in memory for
// the sake of one of them.
type arena struct{ free []byte }

const arenaBlock = 16 << 10

// move gives the message copies of its bytes.
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
		return []byte{} // one that is cut from the batch would keep it
	case n > arenaBlock/4:
		return append([]byte(nil), from...)
	case n > len(b.free):
		b.free = make([]byte, arenaBlock)
	}
	to := b.free[:len(from):len(from)]
	b.free = b.free[copy(to, from):]
	return to
}
