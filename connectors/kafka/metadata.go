package kafka

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/lsm/fiso/connectors/kafka/internal/settle"
)

// Our commits carry metadata, "fiso first=<ms> done=<text>", either part only
// where there is something to say. A member that takes the partition over reads
// when the group first started, so that one which comes a moment later can tell
// a partition that was there then from one that appeared since; and what is done
// beyond the offset. Metadata of others begins differently and is left alone.
const metadataMark = "fiso"

// maxDone bounds the text of what is done beyond the offset, in characters. A
// broker takes 4096 of metadata (offset.metadata.max.bytes) if nothing else is
// set.
const maxDone = 2800

// maxRuns bounds what is gathered for that text, which holds fewer.
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

// parseMetadata reads what formatMetadata wrote; 0 and "" stand for nothing.
// Parts that a later version may add are passed over.
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

// doneIn is what metadata says to be done beyond the offset it was committed
// with. The topic's id binds it to that topic: one that has its name now, or its
// mirror in another cluster, has other records there.
func doneIn(metadata string, offset int64, topic [16]byte, partition int32) []settle.Run {
	_, done := parseMetadata(metadata)
	if done == "" || len(done) > maxDone {
		return nil
	}
	return settle.Decode(done, offset, placeOf(topic, partition))
}

func placeOf(topic [16]byte, partition int32) []byte {
	return binary.BigEndian.AppendUint32(topic[:], uint32(partition))
}

// covered is how many offsets the runs hold.
func covered(runs []settle.Run) (n int64) {
	for _, r := range runs {
		n += r.To - r.From
	}
	return n
}
