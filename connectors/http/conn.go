package http

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// maxAnswerHeader bounds the header of an answer, in bytes; it is the size
	// of a connection's read buffer.
	maxAnswerHeader = 16 << 10
	// maxInterim is how many 1xx answers may come before the real one.
	maxInterim = 8
	// drainAnswer is how long the body of an answer may take, once its header
	// is there: the verdict is known, the rest only keeps the connection.
	drainAnswer = 2 * time.Second
)

// conn is one connection to the target, used by one call at a time. The codec
// for answers is fasthttp's. Its HostClient is not used: it waits for a
// connection without a context, leaves a goroutine behind when it is closed,
// retries by itself, and reuses a connection on which more than the answer
// came.
type conn struct {
	net.Conn
	br    *bufio.Reader
	resp  fasthttp.Response // the last answer; valid until the next exchange
	abort func()            // ends the call under way; safe at any time
	born  time.Time
	idle  time.Time // since when it has been unused
	spent bool      // no further call may use it
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc, br: bufio.NewReaderSize(nc, maxAnswerHeader), born: time.Now()}
	past := time.Unix(1, 0)
	c.abort = func() {
		// The only failure is that the connection is closed already.
		_ = c.SetDeadline(past)
	}
	return c
}

// exchange sends a request and reads the answer into c.resp. It ends early
// when ctx does. The error is about the transport; any answer is a success.
// Head and body may be written in one go, so body may be empty.
func (c *conn) exchange(ctx context.Context, deadline time.Time, head, body []byte, maxBody int) error {
	if err := c.SetDeadline(deadline); err != nil {
		c.spent = true
		return err
	}
	if ctx.Done() == nil {
		return c.roundTrip(ctx, deadline, head, body, maxBody)
	}
	stop := context.AfterFunc(ctx, c.abort)
	err := c.roundTrip(ctx, deadline, head, body, maxBody)
	if !stop() {
		c.spent = true // abort has run, or will run at any moment
	}
	return err
}

func (c *conn) roundTrip(ctx context.Context, deadline time.Time, head, body []byte, maxBody int) error {
	_, sendErr := c.Write(head)
	if sendErr == nil && len(body) > 0 {
		_, sendErr = c.Write(body)
	}
	if sendErr != nil {
		// A server may answer, 413 for example, and close before it has read
		// the whole request.
		c.spent = true
	}
	if err := c.readHeader(); err != nil {
		c.spent = true
		return cmp.Or(sendErr, err)
	}
	if sendErr != nil && c.resp.StatusCode()/100 == 2 {
		return sendErr // it cannot have taken what it was not sent
	}
	c.readBody(ctx, deadline, maxBody)
	return nil
}

// readHeader reads the header of the answer, past interim ones.
func (c *conn) readHeader() error {
	for range maxInterim + 1 {
		c.resp.Reset()
		if err := c.resp.Header.Read(c.br); err != nil {
			return answerError(err)
		}
		// 101 is final: it says that what follows is no longer HTTP.
		if status := c.resp.StatusCode(); status/100 != 1 || status == 101 {
			return nil
		}
	}
	return errors.New("the answer never got past interim (1xx) ones")
}

// readBody reads what is left of the answer, and finds out whether the
// connection can be used again. It does not fail: the verdict is known.
func (c *conn) readBody(ctx context.Context, deadline time.Time, maxBody int) {
	status, length := c.resp.StatusCode(), c.resp.Header.ContentLength()
	if c.resp.ConnectionClose() || closes(&c.resp.Header) || status == 101 {
		c.spent = true
	}
	if status/100 != 1 && status != 204 && status != 304 {
		if length < 0 || length > c.br.Buffered() {
			if early := time.Now().Add(drainAnswer); early.Before(deadline) {
				deadline = early
			}
			if c.SetReadDeadline(deadline) != nil || ctx.Err() != nil {
				c.spent = true // the new deadline may have undone an abort
				return
			}
		}
		err := c.resp.ReadBody(c.br, maxBody)
		if err == nil && length == -1 {
			err = c.resp.Header.ReadTrailer(c.br)
		}
		if err != nil || length < -1 {
			c.spent = true
		}
	}
	if c.br.Buffered() > 0 {
		// More than one answer to one request: the rest would be taken for
		// the answer to the next event.
		c.spent = true
	}
}

// closes reports whether the answer's Connection header holds the option
// close; fasthttp knows only the header that is exactly that.
func closes(h *fasthttp.ResponseHeader) bool {
	value := h.Peek("Connection")
	return len(value) > 0 && strings.Contains(strings.ToLower(string(value)), "close")
}

// answerError puts a failure to read an answer in words. A parser's own words
// quote the answer's header, which may hold a secret.
func answerError(err error) error {
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed before an answer")
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	case errors.As(err, &small):
		return errors.New("the header of the answer is larger than 16KiB")
	case errors.As(err, &netErr):
		return netErr
	default:
		return errors.New("the answer is not HTTP/1.1; is the URL that of an HTTP server, and is http or https right?")
	}
}
