package connector

import "strconv"

// Position is the place of a message in its source: a partition and an offset, a
// sequence number in a stream, or only the name of the stream. The zero value is
// no position. Positions are comparable.
type Position struct {
	Stream    string // topic, stream or endpoint
	Partition int32  // 0 without HasPartition
	Offset    int64  // or sequence number; 0 unless Known

	kind positionKind
}

type positionKind uint8

const (
	unnumbered positionKind = iota
	sequenced
	partitioned
)

// PartitionOffset returns the position of a record in a partition of a topic.
func PartitionOffset(topic string, partition int32, offset int64) Position {
	return Position{topic, partition, offset, partitioned}
}

// Sequence returns the position of a message in a stream without partitions.
func Sequence(stream string, n int64) Position { return Position{stream, 0, n, sequenced} }

// Known reports whether the position belongs to one message only, so that String
// identifies the message when it is delivered again.
func (p Position) Known() bool { return p.kind != unnumbered }

// HasPartition reports whether the stream has partitions.
func (p Position) HasPartition() bool { return p.kind == partitioned }

// String returns "<topic>-<partition>-<offset>", "<stream>-<sequence>" or the name
// of the stream.
func (p Position) String() string { return string(p.Append(make([]byte, 0, len(p.Stream)+24))) }

// Append appends String to b.
func (p Position) Append(b []byte) []byte {
	b = append(b, p.Stream...)
	if p.kind == partitioned {
		b = append(b, '-')
		b = strconv.AppendInt(b, int64(p.Partition), 10)
	}
	if p.kind != unnumbered {
		b = append(b, '-')
		b = strconv.AppendInt(b, p.Offset, 10)
	}
	return b
}
