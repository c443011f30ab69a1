package http1

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

const (
	// smallRequest is the size in bytes up to which a request is written before its
	// answer is read. A goroutine writes the rest of a larger one.
	smallRequest = 16 << 10
	// lookTime is how long a look waits on a connection that is not a socket.
	lookTime = time.Millisecond
)

// clientConn is a connection to a server, used by one attempt at a time.
type clientConn struct {
	t        *Transport
	endpoint string
	nc       net.Conn
	socket   *socket
	in       buffer
	body     body
	out      []byte
	one      [1]byte     // what look reads
	ready    func() bool // body.ready
	onSent   func()      // requestSent
	born     time.Time
	since    time.Time // when it was put into the pool
	last     struct {  // the head of the last answer; most servers repeat it
		text string
		head answerHead
	}
	borrowed answerAndBody // see Outgoing.Borrow

	// Of the current attempt:
	ctx     context.Context
	aborts  callctx.Hook // on ctx
	limit   time.Time    // the deadline of the attempt; zero: none
	moved   bool         // a deadline is set
	used    bool         // the connection has served before
	sent    bool         // a byte of the request may have been sent
	partial bool         // the request was not sent whole and will not be
	heard   bool         // a byte of the answer came
	keep    bool         // the connection may be used again
	sending *sending     // the body that a goroutine sends; nil: none
	rawSent func()       // Outgoing.Sent; nil once called
	mu      sync.Mutex   // guards waiting, and the deadline while it is true
	waiting bool         // for the head of the answer
}

func newClientConn(t *Transport, endpoint string, nc net.Conn, s *socket, born time.Time) *clientConn {
	c := &clientConn{t: t, endpoint: endpoint, nc: nc, socket: s, born: born}
	c.in = buffer{conn: nc, data: make([]byte, readBuffer)}
	if s.plain {
		c.in.conn = s // which look needs
	}
	c.body.b, c.body.of = &c.in, ofServer
	c.ready, c.onSent, c.aborts.Do = c.body.ready, c.requestSent, c.abort
	return c
}

// abort ends the current attempt. It may be called from any goroutine.
func (c *clientConn) abort() {
	_ = c.nc.SetDeadline(time.Unix(1, 0)) // an error means that the connection is closed
}

// drop closes the connection, which ends a goroutine that still writes to it. It closes
// the socket below TLS: crypto/tls would write close_notify first, and wait up to 5 s for
// a server that does not read.
func (c *clientConn) drop() {
	c.aborts.Remove()
	_ = c.socket.Close() // nothing more is expected from it
}

func (c *clientConn) failed(otherwise Reason, err error) *Error {
	e := &Error{Reason: c.t.why(c.ctx, err, otherwise), Sent: c.sent, Err: Plain(err)}
	e.Unseen = c.used && !c.heard && e.Reason == ReasonReset
	return e
}

var (
	// errStale is a used connection that a look found bad. Nothing was sent on it, so the
	// attempt takes another one.
	errStale   = errors.New("the connection is stale")
	errUnasked = errors.New("the server sent bytes that no request asked for; is it an HTTP server?")
	errClosed  = errors.New("the connection was closed before an answer")
)

// roundTrip sends a request and reads the head of its answer.
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

// begin starts an attempt. The deadline is set before ctx can abort it.
func (c *clientConn) begin(ctx context.Context, limit time.Time) {
	if c.moved || !limit.IsZero() {
		_ = c.nc.SetDeadline(limit) // a failure shows in the write
	}
	c.limit, c.moved, c.ctx = limit, !limit.IsZero(), ctx
	c.aborts.On(ctx)
}

// deadline sets the read deadline, but never later than the attempt's, which zero stands
// for. If the attempt was aborted meanwhile, it sets that deadline again.
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

// look returns an error if the server has closed the connection, or sent something while
// no request was there to answer. It reads through TLS, which reads ahead.
func (c *clientConn) look() error {
	if c.socket.raw != nil {
		c.socket.looking = true
		defer func() { c.socket.looking = false }()
	} else if err := c.deadline(time.Now().Add(lookTime)); err != nil {
		return err
	}
	_, err := c.in.conn.Read(c.one[:])
	if c.socket.raw == nil {
		if err := c.deadline(time.Time{}); err != nil {
			return err
		}
	}
	return lookError(err)
}

// lookError is the result of a look whose read returned err.
func lookError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err == nil:
		return errUnasked
	}
	return err
}
