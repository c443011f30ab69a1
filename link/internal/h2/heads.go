package h2

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// responseHeadChecker looks for what the library drops from the heads of answers without a word:
// a content-length that is there twice and differs, is no number, or announces a
// body where the head is the end. It is read by the goroutine that reads for the
// library, and asked by attempts.
type responseHeadChecker struct {
	dec    *hpack.Decoder
	skip   int  // bytes of the payload before the fragment
	pad    int  // bytes behind it; -1: the first byte of the payload says it
	end    bool // the head is the end of the stream
	status string
	length string
	bad    bool

	mu      sync.Mutex
	lengths map[uint32]lengthFault
}

// lengthFault is what is wrong with an answer's content-length.
type lengthFault int

const (
	lengthFine    lengthFault = iota
	lengthMissing             // a body was announced, and none is there: right for HEAD and 304
	lengthFalse
)

func newHeads(most int) *responseHeadChecker {
	h := &responseHeadChecker{lengths: map[uint32]lengthFault{}}
	h.dec = hpack.NewDecoder(4096, h.field) // the size that the library's own has
	// More than the library's own bound, which is a little above most and is not asked
	// of each text: where the library goes on, so does this decoder.
	h.dec.SetMaxStringLength(2*most + 1<<10)
	return h
}

func (h *responseHeadChecker) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		h.status = f.Value
	case "content-length":
		if _, err := strconv.ParseUint(f.Value, 10, 63); err != nil || h.length != "" && h.length != f.Value {
			h.bad = true
		}
		h.length = f.Value
	}
}

// addBytes is told of a frame's header, and of each piece of its payload. It fails where a
// head cannot be decoded, and nothing behind it can: neither could it be looked at.
func (h *responseHeadChecker) addBytes(w *frameScanner, begins bool, payload []byte) error {
	if !w.isHead() && w.kind() != http2.FrameContinuation {
		return nil
	}
	if begins {
		h.begin(w)
	}
	if h.pad < 0 && len(payload) > 0 {
		h.pad, payload = int(payload[0]), payload[1:]
	}
	n := min(h.skip, len(payload))
	h.skip -= n
	payload = payload[n:]
	if padding := max(h.pad, 0) - w.left; padding > 0 { // the last of these bytes
		payload = payload[:max(len(payload)-padding, 0)]
	}
	if _, err := h.dec.Write(payload); err != nil {
		return errHead
	}
	if w.got == 0 && w.has(http2.FlagHeadersEndHeaders) { // the same flag for all
		if h.dec.Close() != nil {
			return errHead
		}
		h.done(w.stream())
	}
	return nil
}

func (h *responseHeadChecker) begin(w *frameScanner) {
	h.skip, h.pad = 0, 0
	if w.kind() == http2.FrameContinuation {
		return
	}
	h.status, h.length, h.bad, h.end = "", "", false, w.has(http2.FlagHeadersEndStream)
	if w.has(http2.FlagHeadersPadded) {
		h.pad = -1
	}
	if w.kind() == http2.FramePushPromise {
		h.skip = 4
	} else if w.has(http2.FlagHeadersPriority) {
		h.skip = 5
	}
}

// maxBadHeads bounds what is kept of answers for which nobody asks.
const maxBadHeads = 1024

// done is a header block that came whole.
func (h *responseHeadChecker) done(stream uint32) {
	if h.status == "" || h.status[0] == '1' {
		return // a trailer, or an interim answer
	}
	fault := lengthFine
	switch {
	case h.bad:
		fault = lengthFalse
	case h.end && h.length != "" && h.length != "0":
		fault = lengthMissing
	}
	if fault == lengthFine {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lengths) == maxBadHeads {
		delete(h.lengths, slices.Min(slices.Collect(maps.Keys(h.lengths)))) // of a call that has left
	}
	h.lengths[stream] = fault
}

// faultOf is what is wrong with the answer on a stream, which is asked for once.
func (h *responseHeadChecker) faultOf(stream uint32) lengthFault {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.lengths[stream]
	delete(h.lengths, stream)
	return f
}
