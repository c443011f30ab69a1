package kafka

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/lsm/fiso/connectors/kafka/internal/settle"
)

// Commits of this package carry metadata, "fiso first=<ms> done=<text>", where either
// part may be missing. first is when the group first started: with it, a member that
// takes a partition over can tell whether the partition existed then. done lists the
// records that are done beyond the offset. Metadata without the mark belongs to another
// tool and is ignored.
const metadataMark = "fiso"

// maxDone bounds the text of done, in characters. Brokers accept 4096 bytes of metadata
// by default (offset.metadata.max.bytes).
const maxDone = 2800

// maxRuns bounds the runs that are collected for done, whose text holds fewer.
const maxRuns = 1 << 14

func formatMetadata(first int64, done string) string {
	var b strings.Builder
	if first > 0 {
		b.WriteString(" first=" + strconv.FormatInt(first, 10))
	}
	if done != "" {
		b.WriteString(" done=" + done)
	}
	if b.Len() == 0 {
		return ""
	}
	return metadataMark + b.String()
}

// parseMetadata reads what formatMetadata wrote; 0 and "" mean that the part is
// missing. It ignores unknown parts, which a later version may add.
func parseMetadata(s string) (first int64, done string) {
	rest, ok := strings.CutPrefix(s, metadataMark+" ")
	if !ok {
		return 0, ""
	}
	for part := range strings.SplitSeq(rest, " ") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "first":
			if ms, err := strconv.ParseInt(value, 10, 64); err == nil && ms > 0 {
				first = ms
			}
		case "done":
			done = value
		}
	}
	return first, done
}

// doneIn returns the runs that metadata lists as done beyond the offset it was
// committed with. They are bound to the topic's id: a topic of the same name, created
// again or in another cluster, holds other records.
func doneIn(metadata string, offset int64, topic [16]byte, partition int32) []settle.Run {
	_, done := parseMetadata(metadata)
	if done == "" || len(done) > maxDone {
		return nil
	}
	return settle.Decode(done, offset, partitionID(topic, partition))
}

func partitionID(topic [16]byte, partition int32) []byte {
	return binary.BigEndian.AppendUint32(topic[:], uint32(partition))
}

// countOffsets returns how many offsets the runs hold.
func countOffsets(runs []settle.Run) (n int64) {
	for _, r := range runs {
		n += r.To - r.From
	}
	return n
}
