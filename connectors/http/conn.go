package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	// maxAnswerHeader bounds the header of an answer, in bytes, and a
	// connection's read buffer.
	maxAnswerHeader = 16 << 10
	// firstBuffer is the size with which a read buffer begins: enough for most
	// answers, and little where a thousand connections are open.
	firstBuffer = 2 << 10
	// drainAnswer is how long the body of an answer may take, once its header
	// is there: the verdict is known, the rest only keeps the connection.
	drainAnswer = 2 * time.Second
	// writeSlice is how long a write goes without a look for an early answer.
	writeSlice = 200 * time.Millisecond
)

// conn is one connection to the target, used by one call at a time.
type conn struct {
	net.Conn
	socket *socket // nil: it cannot be looked at without waiting
	turn   *turn   // nil: send and receive with net.Conn
	answer answer  // the last one; valid until the next call
	buf    []byte  // read buffer: buf[r:w] is still to be read
	r, w   int

	deadline time.Time // of the call
	set      time.Time // the deadline that net.Conn has, as far as it is known
	tcp      bool      // no TLS, whose writes cannot go on after a timeout
	draining bool      // the deadline for reading is that of drainAnswer

	born  time.Time
	idle  time.Time // since when it has been unused
	used  bool      // it has had an answer
	heard bool      // bytes of an answer to the request under way came
	spent bool      // no further call may use it
	spare [1]byte   // for a look

	// Under the pool's lock.
	group   *group // of the call under way
	aborted bool   // its context ended
}

// newConn makes a connection of one that was dialled, before TLS.
func newConn(nc net.Conn, now time.Time) *conn {
	c := &conn{Conn: nc, born: now}
	s, t := newSocket(nc)
	if s != nil {
		c.Conn, c.socket, c.turn, c.tcp = s, s, t, true
	}
	return c
}

// secure puts TLS on top.
func (c *conn) secure(ctx context.Context, cfg *tls.Config) error {
	nc := tls.Client(c.Conn, cfg)
	c.Conn, c.turn, c.tcp = nc, nil, false
	return nc.HandshakeContext(ctx)
}

// exchange sends a request, once it has looked at the connection, and receives
// the answer. It calls sent, once, when nobody reads the request any more. The
// body of the answer is kept up to limit.
func (c *conn) exchange(ctx context.Context, request []byte, sent func(), limit int) error {
	c.heard = false
	if err := c.look(ctx); err != nil {
		sent()
		c.spent = true
		return err
	}
	return c.receive(ctx, c.send(ctx, request, sent), limit)
}

// bound sees to it that no read or write lasts longer than deadline. To set a
// deadline is to change a timer of the runtime, which costs more than most of
// what a call does. So one that stands is kept while it comes at most an eighth
// too early, and moved when it comes (see early).
func (c *conn) bound(ctx context.Context, now, deadline time.Time) error {
	c.deadline = deadline
	if c.tcp && !c.draining && !c.set.After(deadline) {
		if soonest := deadline.Add(deadline.Sub(now) / -8); c.set.After(soonest) {
			return nil
		}
	}
	c.draining = false
	return c.extend(ctx)
}

// extend sets the deadline of the call.
func (c *conn) extend(ctx context.Context) error {
	if err := c.SetDeadline(c.deadline); err != nil {
		return err
	}
	c.set = c.deadline
	return ctx.Err() // the new deadline may have undone an abort
}

// early reports whether a read or write failed only because a deadline was
// kept that is earlier than the call's. It can then go on.
func (c *conn) early(ctx context.Context, err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && c.tcp && !c.draining && c.set.Before(c.deadline) && c.extend(ctx) == nil
}

// send writes a request, and calls sent, once, when nobody reads it any more.
// It may wait for the answer too.
func (c *conn) send(ctx context.Context, request []byte, sent func()) error {
	rest := c.turn.take(request, sent)
	if len(rest) == 0 {
		return nil
	}
	defer sent()
	for {
		// A server may answer, 413 for example, and read no further (RFC 9112,
		// 9.3), so a write is interrupted for a look. TLS allows no such thing.
		if slice := time.Now().Add(writeSlice); c.tcp && slice.Before(c.deadline) {
			c.set = slice
			if err := errors.Join(c.SetDeadline(slice), ctx.Err()); err != nil {
				return err
			}
		}
		n, err := c.Write(rest)
		if rest = rest[n:]; err == nil || !c.early(ctx, err) {
			return err
		}
		if n == 0 && c.socket.readable() {
			return errRefused
		}
	}
}

// receive reads the answer to a request whose sending ended with sent. The
// error is about the transport; any answer is a success.
func (c *conn) receive(ctx context.Context, sent error, limit int) error {
	if sent != nil {
		// A server may answer, 413 for example, and close before it has read
		// the whole request.
		c.spent = true
	}
	if err := c.readHead(ctx); err != nil {
		c.spent = true
		if sent != nil && !errors.Is(err, errUnasked) {
			return sent
		}
		return answerError(err)
	}
	if c.used && c.answer.last && c.answer.status == 408 {
		c.spent = true
		return errIdle // nobody read the request (RFC 9110, 15.5.9)
	}
	if sent != nil && c.answer.status/100 == 2 {
		return sent // it cannot have taken what it was not sent
	}
	// The verdict is known, so what fails from here on costs the connection
	// alone. More than one answer to one request does too: the rest would be
	// taken for the answer to the next event.
	if c.readBody(ctx, limit) != nil || c.answer.last || c.r < c.w {
		c.spent = true
	}
	c.used = true
	return nil
}

// fill reads more, behind what is there.
func (c *conn) fill(ctx context.Context) error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		switch {
		case c.r > 0:
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		case len(c.buf) >= maxAnswerHeader:
			return errLargeHeader
		default:
			grown := make([]byte, max(firstBuffer, 2*len(c.buf)))
			c.w = copy(grown, c.buf)
			c.buf = grown
		}
	}
	for range 100 { // as bufio does: a reader may return nothing without an error
		n, err := c.Read(c.buf[c.w:])
		if n > 0 {
			c.w += n
			return c.begun()
		}
		if err != nil && !c.early(ctx, err) {
			return err
		}
	}
	return io.ErrNoProgress
}

// begun is called with each part of an answer. On a connection that was used
// before, an answer that begins when the server has not got all of the request
// belongs to an earlier one. On a new one, it is an early refusal.
func (c *conn) begun() error {
	if c.heard {
		return nil
	}
	c.heard = true
	if c.used && c.socket != nil && c.socket.unread() {
		return errUnasked
	}
	return nil
}

// fillBody is fill for the body, which has a time of its own.
func (c *conn) fillBody(ctx context.Context) error {
	if !c.draining {
		c.draining = true
		deadline := time.Now().Add(drainAnswer)
		if c.deadline.Before(deadline) {
			deadline = c.deadline
		}
		if err := c.SetReadDeadline(deadline); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err // the new deadline may have undone an abort
		}
	}
	return c.fill(ctx)
}

var (
	errLargeHeader = errors.New("the header of the answer is larger than 16KiB")
	errNotHTTP     = errors.New("the answer is not HTTP/1.1; is the URL that of an HTTP server, and is http or https right?")
	errRefused     = errors.New("the server answered and read no further")
	errNoEnd       = errors.New("the answer never got past interim (1xx) ones")
)

// answerError puts a failure to read an answer in words.
func answerError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed before an answer")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	default:
		return err
	}
}
