package h2

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// responseHeadChecker finds what the library silently drops from the heads of answers:
// a content-length that differs between fields, is not a number, or announces a body
// although the stream ends with the head. The goroutine that reads for the library
// feeds it, and attempts query it.
type responseHeadChecker struct {
	dec    *hpack.Decoder
	skip   int  // bytes of the payload to skip before the fragment
	pad    int  // bytes of padding after it; -1: the first byte of the payload has the number
	end    bool // the stream ends with the head
	status string
	length string
	bad    bool

	mu      sync.Mutex
	lengths map[uint32]lengthFault
}

// lengthFault says what is wrong with the content-length of an answer.
type lengthFault int

const (
	lengthFine    lengthFault = iota
	lengthMissing             // a body is announced and missing, which is valid for HEAD and 304
	lengthFalse
)

func newResponseHeadChecker(most int) *responseHeadChecker {
	h := &responseHeadChecker{lengths: map[uint32]lengthFault{}}
	h.dec = hpack.NewDecoder(4096, h.field) // the table size of the library's decoder
	// The library's limit is a little above most and does not apply to each text. This
	// decoder has a higher one, so that it does not fail where the library goes on.
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

// addBytes takes a frame header, and each piece of the payload. It fails if a head
// cannot be decoded, because then no later head can be decoded and checked.
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
	if padding := max(h.pad, 0) - w.left; padding > 0 { // payload ends with padding
		payload = payload[:max(len(payload)-padding, 0)]
	}
	if _, err := h.dec.Write(payload); err != nil {
		return errHead
	}
	if w.got == 0 && w.has(http2.FlagHeadersEndHeaders) { // all these frames have the same flag
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

// maxBadHeads limits the entries of answers that no attempt queries.
const maxBadHeads = 1024

// done evaluates a complete header block.
func (h *responseHeadChecker) done(stream uint32) {
	if h.status == "" || h.status[0] == '1' {
		return // a trailer or an interim answer
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
		delete(h.lengths, slices.Min(slices.Collect(maps.Keys(h.lengths)))) // the oldest: its call has left
	}
	h.lengths[stream] = fault
}

// faultOf returns what is wrong with the answer on a stream, and forgets it.
func (h *responseHeadChecker) faultOf(stream uint32) lengthFault {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.lengths[stream]
	delete(h.lengths, stream)
	return f
}
