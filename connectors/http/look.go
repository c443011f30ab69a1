package http

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// lookWait is how long a look at a connection takes that can only be looked at
// by waiting: one of SinkOptions.Dial that is no TCP connection, and any on a
// system other than Unix.
const lookWait = time.Millisecond

var (
	errUnasked = errors.New("the server sent bytes that no request asked for; is the URL that of an HTTP server?")
	errIdle    = errors.New("the server closed an idle connection with 408")
)

// look is done before each request. It fails when the server closed the
// connection, or sent anything: what came before the request is no answer to
// it, and would be taken for one.
func (c *conn) look(ctx context.Context) error {
	patient := c.socket == nil
	switch {
	case !patient:
		c.socket.looking = true
		defer func() { c.socket.looking = false }()
	case c.used:
		if err := c.SetReadDeadline(time.Now().Add(lookWait)); err != nil {
			return err
		}
	default:
		return nil // a new connection is not waited for
	}
	n, err := c.Read(c.spare[:])
	switch {
	case n > 0:
		return errUnasked
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return answerError(err)
	case patient:
		return c.extend(ctx)
	}
	return nil
}

// unseen reports whether a request that failed with err did so without a sign
// that the server had it: on a connection that was used before and on which no
// byte of an answer came. Servers close idle connections without a word, and
// the request may cross the closing. It then goes out once more, on a new
// connection, which loses nothing: the event has the same id.
func (c *conn) unseen(err error) bool {
	switch {
	case err == nil, !c.used:
		return false
	case errors.Is(err, errUnasked), errors.Is(err, errIdle):
		return true
	}
	return !c.heard && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed)
}
