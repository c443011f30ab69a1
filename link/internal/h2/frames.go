package h2

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/time/rate"

	"github.com/lsm/fiso/link/internal/call"
)

// Limits on what a peer may send. The library accepts these without limit.
const (
	maxContinuations  = 128              // CONTINUATION frames of a header block, empty ones included
	headTimeout       = 10 * time.Second // from the first byte of a header block to its last
	controlFrameRate  = 20_000           // frames per second that carry neither a head nor data
	controlFrameBurst = 100_000
	loggedFrameWeight = 1000 // weight of a frame from a target about which the library logs a line
)

const (
	errContinuations = fault("a header block has too many frames")
	errSlowHead      = fault("a header block did not end in time")
	errFlood         = fault("too many frames come without a head or data")
	errHead          = fault("its head is larger than " + call.AnswerHeadSetting + ", or cannot be decoded")
)

const frameHeader = 9

// frameScanner finds the frames in a stream of bytes that comes in pieces of any size.
type frameScanner struct {
	head [frameHeader]byte
	got  int // bytes of head
	left int // bytes of the payload
}

// next consumes bytes up to the end of a frame header, or a piece of its payload.
// begins says that the header is now complete.
func (w *frameScanner) next(p []byte) (rest, payload []byte, begins bool) {
	if w.got < frameHeader {
		n := copy(w.head[w.got:], p)
		if w.got += n; w.got == frameHeader {
			w.left = int(w.head[0])<<16 | int(w.head[1])<<8 | int(w.head[2])
			begins = true
		}
		p = p[n:]
	} else {
		n := min(w.left, len(p))
		payload, p = p[:n], p[n:]
		w.left -= n
	}
	if w.got == frameHeader && w.left == 0 {
		w.got = 0
	}
	return p, payload, begins
}

func (w *frameScanner) kind() http2.FrameType  { return http2.FrameType(w.head[3]) }
func (w *frameScanner) flags() http2.Flags     { return http2.Flags(w.head[4]) }
func (w *frameScanner) empty() bool            { return w.head[0]|w.head[1]|w.head[2] == 0 }
func (w *frameScanner) has(f http2.Flags) bool { return w.flags().Has(f) }
func (w *frameScanner) isHead() bool {
	return w.kind() == http2.FrameHeaders || w.kind() == http2.FramePushPromise
}
func (w *frameScanner) stream() uint32 {
	return (uint32(w.head[5])<<24 | uint32(w.head[6])<<16 | uint32(w.head[7])<<8 | uint32(w.head[8])) & (1<<31 - 1)
}

// guardedConn is a connection whose reads fail if the peer exceeds limits that the
// library does not have. Only one goroutine reads it.
type guardedConn struct {
	net.Conn
	frameScanner
	preface       int  // bytes of the preface still to be read
	inBlock       bool // a header block has begun and not ended
	continuations int  // CONTINUATION frames in it
	hasDeadline   bool // a read deadline is set, for a header block
	control       *rate.Limiter
	heads         *responseHeadChecker // checks the heads of answers; nil: not checked
	err           error
}

func newGuardedConn(c net.Conn, preface int) *guardedConn {
	return &guardedConn{Conn: c, preface: preface, control: rate.NewLimiter(controlFrameRate, controlFrameBurst)}
}

func (b *guardedConn) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.Conn.Read(p)
	if b.err = b.scan(p[:n]); b.err != nil {
		return 0, b.err
	}
	if b.hasDeadline && errors.Is(err, os.ErrDeadlineExceeded) {
		b.err = errSlowHead
		return n, b.err
	}
	b.limitHeadTime()
	return n, err
}

// scan scans the frames in p.
func (b *guardedConn) scan(p []byte) error {
	n := min(b.preface, len(p))
	b.preface -= n
	for p = p[n:]; len(p) > 0; {
		rest, payload, begins := b.next(p)
		p = rest
		if begins {
			if err := b.beginFrame(); err != nil {
				return err
			}
		}
		if b.heads != nil {
			if err := b.heads.addBytes(&b.frameScanner, begins, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// beginFrame checks a frame whose header is complete.
func (b *guardedConn) beginFrame() error {
	switch kind := b.kind(); {
	case b.isHead():
		b.inBlock, b.continuations = !b.has(http2.FlagHeadersEndHeaders), 0
	case kind == http2.FrameContinuation:
		if b.continuations++; b.continuations > maxContinuations {
			return errContinuations
		}
		b.inBlock = b.inBlock && !b.has(http2.FlagContinuationEndHeaders)
	case kind == http2.FrameWindowUpdate, kind == http2.FrameData && (!b.empty() || b.has(http2.FlagDataEndStream)):
	case !b.control.AllowN(time.Now(), b.weight()):
		return errFlood
	}
	return nil
}

// weight returns how much a frame counts. The client of the library logs each frame
// that is unknown or only for servers; some servers send a few.
func (b *guardedConn) weight() int {
	if kind := b.kind(); b.heads != nil && (kind == http2.FramePriority || kind > http2.FrameContinuation) {
		return loggedFrameWeight
	}
	return 1
}

// limitHeadTime sets or clears the deadline of a header block.
func (b *guardedConn) limitHeadTime() {
	inside := b.inBlock || b.left > 0 && b.got == frameHeader && (b.isHead() || b.kind() == http2.FrameContinuation)
	if inside == b.hasDeadline {
		return
	}
	b.hasDeadline = inside
	var until time.Time
	if inside {
		until = time.Now().Add(headTimeout)
	}
	_ = b.SetReadDeadline(until) // a failure shows in the read
}
