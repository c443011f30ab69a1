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
	// errNothing is what a socket under a look returns when nothing is there.
	// It is temporary to crypto/tls, which would keep any other error.
	errNothing net.Error = nothing{}
)

type nothing struct{}

func (nothing) Error() string   { return "nothing to read" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// look is done before each request. It fails when the server closed the
// connection, or sent anything: what came before the request is no answer to
// it, and would be taken for one.
func (c *conn) look(ctx context.Context) error {
	if c.socket == nil {
		return c.lookPatiently(ctx)
	}
	c.socket.looking = true
	n, err := c.Read(c.spare[:])
	c.socket.looking = false
	switch {
	case n > 0:
		return errUnasked
	case errors.Is(err, errNothing):
		return nil
	default:
		return answerError(err)
	}
}

// lookPatiently waits a moment for bytes. A new connection is spared that.
func (c *conn) lookPatiently(ctx context.Context) error {
	if !c.used {
		return nil
	}
	if err := c.SetReadDeadline(time.Now().Add(lookWait)); err != nil {
		return err
	}
	n, err := c.Read(c.spare[:])
	switch {
	case n > 0:
		return errUnasked
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.extend(ctx)
	default:
		return answerError(err)
	}
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
