package settle

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
)

// Run is the range of offsets from From to To, without To. Its records are done and
// have the leader epoch Epoch. An offset in the range without a record never gets one:
// a log is rewritten only under a later epoch.
type Run struct {
	From, To int64
	Epoch    int32
}

// Merge returns the runs that are done by a or by b, both in order. Where both hold an
// offset under different epochs, the later epoch counts: the record of the earlier one
// no longer exists.
func Merge(a, b []Run) []Run {
	var out []Run
	for len(a) > 0 || len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && b[0].From < a[0].From {
			a, b = b, a
		}
		r := a[0]
		switch {
		case len(b) == 0:
		case r.From < b[0].From:
			r.To = min(r.To, b[0].From)
		default:
			r.To, r.Epoch = min(r.To, b[0].To), max(r.Epoch, b[0].Epoch)
			b = above(b, r.To)
		}
		a = above(a, r.To)
		if n := len(out); n > 0 && out[n-1].To == r.From && out[n-1].Epoch == r.Epoch {
			out[n-1].To = r.To
		} else {
			out = append(out, r)
		}
	}
	return out
}

// above returns the part of runs from offset on; offset lies in the first run.
func above(runs []Run, offset int64) []Run {
	if runs[0].To <= offset {
		return runs[1:]
	}
	runs = slices.Clone(runs)
	runs[0].From = offset
	return runs
}

// The text is the base64 form of a version, a checksum and blocks. A block holds what
// is done in one leader epoch: the epoch, the distance of its first offset from the
// previous block's end (for the first block: from the watermark), its form and its
// size, and then its body: either the lengths of done and not done ranges in turn, or a
// bitmap.
const (
	version   = 1
	headBytes = 1 + crc32.Size
	formRuns  = 0
	formBits  = 1
	// blockBytes bounds the part of a block before its body.
	blockBytes = 3 * binary.MaxVarintLen64
)

// Encode returns a text of at most limit characters for runs, which are in order and
// above watermark. Runs that do not fit are left out, the farthest from the watermark
// first; "" means none. The text is bound to watermark and to partition, the bytes that
// identify what the offsets belong to.
func Encode(watermark int64, partition []byte, runs []Run, limit int) string {
	room := base64.RawURLEncoding.DecodedLen(limit)
	out := make([]byte, headBytes, 64)
	end := watermark
	for len(runs) > 0 {
		n := 1
		for n < len(runs) && runs[n].Epoch == runs[0].Epoch {
			n++
		}
		body, form, size, to := pack(runs[:n], room-len(out)-blockBytes)
		if to == runs[0].From {
			break
		}
		out = binary.AppendUvarint(out, uint64(runs[0].Epoch))
		out = binary.AppendUvarint(out, uint64(runs[0].From-end))
		out = binary.AppendUvarint(out, uint64(size)<<1|form)
		out = append(out, body...)
		if end = to; to < runs[n-1].To {
			break
		}
		runs = runs[n:]
	}
	if len(out) == headBytes {
		return ""
	}
	return seal(out, watermark, partition)
}

// seal fills in the head of out, whose blocks follow headBytes, and returns the text.
func seal(out []byte, watermark int64, partition []byte) string {
	out[0] = version
	binary.BigEndian.PutUint32(out[1:], checksum(watermark, partition, out[headBytes:]))
	return base64.RawURLEncoding.EncodeToString(out)
}

// pack returns the body of a block in the form that covers more in room bytes or, when
// both cover all runs, is shorter. to is the offset up to which it covers.
func pack(runs []Run, room int) (body []byte, form uint64, size int, to int64) {
	if room <= 0 {
		return nil, 0, 0, runs[0].From
	}
	list, n, listTo := packRuns(runs, room)
	bits, bitsTo := packBits(runs, room)
	if listTo > bitsTo || listTo == bitsTo && len(list) <= len(bits) {
		return list, formRuns, n, listTo
	}
	return bits, formBits, len(bits), bitsTo
}

func packRuns(runs []Run, room int) (list []byte, n int, to int64) {
	to = runs[0].From
	for _, r := range runs {
		next := list
		if n > 0 {
			next = binary.AppendUvarint(next, uint64(r.From-to))
		}
		next = binary.AppendUvarint(next, uint64(r.To-r.From))
		if len(next) > room {
			return list, n, to
		}
		if n > 0 {
			n++
		}
		list, to = next, r.To
		n++
	}
	return list, n, to
}

func packBits(runs []Run, room int) (bits []byte, to int64) {
	base := runs[0].From
	to = base
	for _, r := range runs {
		from, until := r.From-base, min(r.To-base, int64(room)*8)
		if from >= until {
			break
		}
		for int64(len(bits))*8 < until {
			bits = append(bits, 0)
		}
		for i := from; i < until; i++ {
			bits[i/8] |= 1 << (i % 8)
		}
		to = base + until
	}
	return bits, to
}

// Decode returns the runs that Encode wrote. It returns nil for any other text, and for
// one that belongs to another watermark or partition. Its allocations are bounded by
// the length of the text.
func Decode(text string, watermark int64, partition []byte) []Run {
	in, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || watermark < 0 || len(in) <= headBytes || in[0] != version ||
		binary.BigEndian.Uint32(in[1:]) != checksum(watermark, partition, in[headBytes:]) {
		return nil
	}
	var runs []Run
	end := watermark
	for r := (reader{in: in[headBytes:]}); len(r.in) > 0; {
		epoch, skip, head := r.uvarint(math.MaxInt32), r.uvarint(uint64(math.MaxInt64-end)), r.uvarint(uint64(len(in))<<1)
		from := end + int64(skip)
		if head&1 == formBits {
			runs, end = unpackBits(runs, r.bytes(head>>1), from, int32(epoch))
		} else {
			runs, end = unpackRuns(runs, &r, head>>1, from, int32(epoch))
		}
		if r.bad || end == from {
			return nil
		}
	}
	return runs
}

func unpackRuns(runs []Run, r *reader, n uint64, from int64, epoch int32) (out []Run, end int64) {
	end = from
	for i := uint64(0); i < n && !r.bad; i++ {
		length := int64(r.uvarint(uint64(math.MaxInt64 - end)))
		if i%2 == 0 && length > 0 {
			runs = append(runs, Run{end, end + length, epoch})
		}
		end += length
	}
	return runs, end
}

func unpackBits(runs []Run, bits []byte, from int64, epoch int32) (out []Run, end int64) {
	if from > math.MaxInt64-int64(len(bits))*8 {
		return runs, from
	}
	end = from
	for i := range int64(len(bits)) * 8 {
		if bits[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		at := from + i
		if n := len(runs); n > 0 && end == at && at > from {
			runs[n-1].To = at + 1
		} else {
			runs = append(runs, Run{at, at + 1, epoch})
		}
		end = at + 1
	}
	return runs, end
}

// reader reads the fields of a text. bad is set when the text is not valid.
type reader struct {
	in  []byte
	bad bool
}

func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 || v > most {
		r.in, r.bad = nil, true
		return 0
	}
	r.in = r.in[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.in)) {
		r.in, r.bad = nil, true
		return nil
	}
	out := r.in[:n]
	r.in = r.in[n:]
	return out
}

func checksum(watermark int64, partition, body []byte) uint32 {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(watermark))
	sum := crc32.ChecksumIEEE(at[:])
	sum = crc32.Update(sum, crc32.IEEETable, partition)
	return crc32.Update(sum, crc32.IEEETable, body)
}
