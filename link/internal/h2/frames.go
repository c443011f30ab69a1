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

// Bounds of what a peer may send, and the library takes for as long as it comes.
const (
	maxContinuations  = 128              // CONTINUATION frames of a header block, empty ones included
	headTimeout       = 10 * time.Second // from the first byte of a header block to its last
	controlFrameRate  = 20_000           // frames a second that carry neither a head nor data
	controlFrameBurst = 100_000
	loggedFrameWeight = 1000 // of these is what one of a target counts that the library writes a line about
)

const (
	errParts    = fault("a header block comes in too many frames")
	errSlowHead = fault("a header block did not end in time")
	errFlood    = fault("frames that carry nothing come without end")
	errHead     = fault("its head is larger than " + call.AnswerHeadSetting + ", or cannot be decoded")
)

const frameHeader = 9

// frameScanner finds the frames in a stream of bytes, which come in any pieces.
type frameScanner struct {
	head [frameHeader]byte
	got  int // of head
	left int // of the payload
}

// next takes the bytes up to the end of a frame's header, or a piece of its
// payload. begins says that the header is complete.
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

// guardedConn is a connection whose peer keeps to bounds that the library has not, or
// its reads fail. It is read by one goroutine.
type guardedConn struct {
	net.Conn
	frameScanner
	preface int  // bytes to come before the first frame
	block   bool // a header block is under way
	parts   int  // of it
	armed   bool // it has a deadline
	idle    *rate.Limiter
	heads   *responseHeadChecker // looks at heads of answers; nil: nobody does
	err     error
}

func newBounded(c net.Conn, preface int) *guardedConn {
	return &guardedConn{Conn: c, preface: preface, idle: rate.NewLimiter(controlFrameRate, controlFrameBurst)}
}

func (b *guardedConn) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.Conn.Read(p)
	if b.err = b.walk(p[:n]); b.err != nil {
		return 0, b.err
	}
	if b.armed && errors.Is(err, os.ErrDeadlineExceeded) {
		b.err = errSlowHead
		return n, b.err
	}
	b.limit()
	return n, err
}

// walk follows the frames.
func (b *guardedConn) walk(p []byte) error {
	n := min(b.preface, len(p))
	b.preface -= n
	for p = p[n:]; len(p) > 0; {
		rest, payload, begins := b.next(p)
		p = rest
		if begins {
			if err := b.begin(); err != nil {
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

// begin is a frame whose header is there.
func (b *guardedConn) begin() error {
	switch kind := b.kind(); {
	case b.isHead():
		b.block, b.parts = !b.has(http2.FlagHeadersEndHeaders), 0
	case kind == http2.FrameContinuation:
		if b.parts++; b.parts > maxContinuations {
			return errParts
		}
		b.block = b.block && !b.has(http2.FlagContinuationEndHeaders)
	case kind == http2.FrameWindowUpdate, kind == http2.FrameData && (!b.empty() || b.has(http2.FlagDataEndStream)):
	case !b.idle.AllowN(time.Now(), b.weight()):
		return errFlood
	}
	return nil
}

// weight is what a frame counts. The library's client logs each that it does not
// know, or that is for servers; some servers send a few.
func (b *guardedConn) weight() int {
	if kind := b.kind(); b.heads != nil && (kind == http2.FramePriority || kind > http2.FrameContinuation) {
		return loggedFrameWeight
	}
	return 1
}

// limit gives a header block that is under way its time.
func (b *guardedConn) limit() {
	inside := b.block || b.left > 0 && b.got == frameHeader && (b.isHead() || b.kind() == http2.FrameContinuation)
	if inside == b.armed {
		return
	}
	b.armed = inside
	var until time.Time
	if inside {
		until = time.Now().Add(headTimeout)
	}
	_ = b.SetReadDeadline(until) // a failure shows in the read
}
