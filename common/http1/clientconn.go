package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

const (
	// maxInterim is how many 1xx answers may come before the final one.
	maxInterim = 16
	// smallRequest is up to what size a request is written before its answer is
	// waited for, where that cannot be done in one.
	smallRequest = 16 << 10
	// lookTime is how long the look at a connection takes that cannot be read without
	// waiting: what is no socket, and any on a system other than Unix.
	lookTime = time.Millisecond
	// maxKnownHead is the largest head that a connection remembers.
	maxKnownHead = 1 << 10
)

// clientConn is one connection to a server, used by one attempt at a time.
type clientConn struct {
	t        *Transport
	endpoint string
	nc       net.Conn
	socket   *socket
	in       buffer
	body     body
	out      []byte
	one      [1]byte     // for a look
	ready    func() bool // of body
	onSent   func()      // is requestSent
	born     time.Time
	since    time.Time // unused since
	last     struct {  // the head of the last answer: most servers send the same again
		text string
		head answerHead
	}
	borrowed answerAndBody // see Outgoing.Borrow

	// Of the attempt under way:
	ctx     context.Context
	aborts  callctx.Hook // on ctx
	limit   time.Time    // of the attempt; zero: only ctx ends it
	moved   bool         // a deadline stands
	until   time.Time    // that of reads while a body is read
	used    bool         // the connection has served before
	sent    bool         // a byte of the request may have been sent
	partial bool         // the request was not sent whole, and will not be
	heard   bool         // something of the answer came
	keep    bool         // the connection may serve another attempt
	sending *sending     // of a body that streams; nil: none does
	rawSent func()       // of Outgoing; nil once called
	mu      sync.Mutex   // guards waiting, and the deadline while it is true
	waiting bool         // for the head of the answer
}

func newClientConn(t *Transport, endpoint string, nc net.Conn, s *socket, born time.Time) *clientConn {
	c := &clientConn{t: t, endpoint: endpoint, nc: nc, socket: s, born: born}
	c.in = buffer{conn: nc, data: make([]byte, readBuffer)}
	if s.plain {
		c.in.conn = s // so that it can be looked at
	}
	c.body.b, c.body.of = &c.in, ofServer
	c.ready, c.onSent, c.aborts.Do = c.body.ready, c.requestSent, c.abort
	return c
}

// abort ends the attempt under way, from any goroutine.
func (c *clientConn) abort() {
	_ = c.nc.SetDeadline(time.Unix(1, 0)) // on a closed connection nothing is left to end
}

// drop closes the connection. What still writes to it ends by that, or with the
// body it reads, whose owner waits for it (Outgoing).
func (c *clientConn) drop() {
	c.aborts.Remove()
	_ = c.nc.Close() // there is nothing more to lose
}

func (c *clientConn) failed(otherwise Reason, err error) *Error {
	e := &Error{Reason: c.t.why(c.ctx, err, otherwise), Sent: c.sent, Err: Plain(err)}
	e.Unseen = c.used && !c.heard && e.Reason == ReasonReset
	return e
}

var (
	// errStale is a connection that was closed on the other side while it was unused,
	// or spoke unasked. Nothing was sent on it, and another one serves as well.
	errStale   = errors.New("the connection is stale")
	errUnasked = errors.New("the server sent bytes that no request asked for; is it an HTTP server?")
	errClosed  = errors.New("the connection was closed before an answer")
)

// roundTrip sends a request, and reads the head of its answer.
func (c *clientConn) roundTrip(out *Outgoing, interim func(int, Header)) (*Answer, error) {
	c.sent, c.partial, c.heard, c.keep, c.waiting, c.sending, c.rawSent = false, false, false, true, true, nil, out.Sent
	if err := c.send(out); err != nil {
		return nil, err
	}
	head, err := c.readHead(interim)
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.t.cfg.ResponseHeader > 0 {
		if err := c.deadline(time.Time{}); err != nil {
			return nil, c.failed(ReasonReset, err)
		}
	}
	return c.answer(out, head)
}

// begin begins an attempt. The deadline is set before ctx can end it.
func (c *clientConn) begin(ctx context.Context, limit time.Time) {
	if c.moved || !limit.IsZero() {
		_ = c.nc.SetDeadline(limit) // a failure shows in the write
	}
	c.limit, c.moved, c.until, c.ctx = limit, !limit.IsZero(), time.Time{}, ctx
	c.aborts.On(ctx)
}

// deadline moves that of reads, unless the attempt was ended: then the one that ended
// it stands. Zero stands for that of the attempt.
func (c *clientConn) deadline(at time.Time) error {
	if at.IsZero() || !c.limit.IsZero() && c.limit.Before(at) {
		at = c.limit
	}
	c.moved = true
	err := c.nc.SetReadDeadline(at)
	if c.ctx.Err() != nil || c.sending.failed() {
		c.abort()
	}
	return err
}

// look reports what is wrong with a connection that is about to be used: it was closed,
// or the server sent something, which is no answer to what follows. Through TLS,
// because TLS reads ahead.
func (c *clientConn) look() error {
	var err error
	if c.socket.lookable() {
		c.socket.looking = true
		_, err = c.in.conn.Read(c.one[:])
		c.socket.looking = false
	} else {
		if err = c.deadline(time.Now().Add(lookTime)); err != nil {
			return err
		}
		_, err = c.in.conn.Read(c.one[:])
		if derr := c.deadline(time.Time{}); derr != nil {
			return derr
		}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err == nil:
		return errUnasked
	}
	return err
}

func (c *clientConn) readHead(interim func(int, Header)) (*answerHead, error) {
	if err := c.firstBytes(); err != nil {
		return nil, c.headFailed(err)
	}
	for range maxInterim + 1 {
		text, err := c.in.head(c.t.cfg.MaxHead, c.last.text)
		if err != nil {
			return nil, c.headFailed(err)
		}
		head, err := c.parse(text)
		if err != nil {
			failed := c.failed(ReasonGarbage, err)
			if errors.Is(err, errCoding) || errors.Is(err, errTwoFrames) {
				failed.Status = head.status
			}
			return nil, failed
		}
		if head.status/100 != 1 || head.status == 101 {
			return head, nil
		}
		if head.chunked || head.length > 0 {
			return nil, c.failed(ReasonGarbage, errors.New("an interim (1xx) answer has a body"))
		}
		if interim != nil && head.status != 100 {
			interim(head.status, append(Header(nil), head.header...))
		}
	}
	return nil, c.failed(ReasonGarbage, errors.New("the answer never got past interim (1xx) ones"))
}

// firstBytes waits for the answer to begin.
func (c *clientConn) firstBytes() error {
	if err := c.in.fill(c.t.cfg.MaxHead); err != nil {
		return err
	}
	c.heard = true
	if c.used && c.t.cfg.RefuseUnasked && c.socket.undelivered() {
		c.heard = false // it belongs to a request before
		return errUnasked
	}
	return nil
}

// parse reads a head. The same text as last time has the same meaning.
func (c *clientConn) parse(text string) (*answerHead, error) {
	if text == c.last.text {
		return &c.last.head, nil
	}
	head, err := parseAnswer(text)
	if err == nil && head.status/100 != 1 && len(text) <= maxKnownHead {
		c.last.text, c.last.head = text, head
		return &c.last.head, nil
	}
	return &head, err
}

func (c *clientConn) headFailed(err error) *Error {
	var f Fault
	switch {
	case c.sending.failed():
		// The body could not be read. It is not the server that broke the call.
		return c.failed(ReasonBody, c.sending.err)
	case errors.Is(err, errHeadTooLarge):
		return c.failed(ReasonGarbage, errors.New("its head is larger than "+c.t.cfg.HeadSetting))
	case errors.As(err, &f):
		return c.failed(ReasonGarbage, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return c.failed(ReasonReset, errClosed)
	}
	return c.failed(ReasonReset, err)
}
