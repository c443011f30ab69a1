package http1

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// wait is what a connection without a call waits for.
type wait uint8

const (
	nothing wait = iota // it has a call
	idle                // a request
	half                // the rest of a head
	evicted             // nothing: it is about to end
)

// waiting sets what the connection waits for. It reports false if the connection was
// evicted.
func (c *serverConn) waiting(what wait, first bool) bool {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits == evicted {
		return false
	}
	if c.waits == nothing {
		c.since = time.Now()
	}
	c.waits, c.asked = what, !first
	return true
}

// stop ends the connection: at once if it waits for a request, else after its call.
func (c *serverConn) stop() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits == idle {
		c.readUntil(time.Unix(1, 0)) // wakes begins, which sees that the server stops
	}
}

// evict ends the connection, unless a request has come in the meantime.
func (c *serverConn) evict() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits == idle || c.waits == half {
		c.waits = evicted
		c.readUntil(time.Unix(1, 0)) // wakes the reader
	}
}

// maxEmpty bounds the empty lines before a request. Some applications send one after a
// body (RFC 9112, section 2.2).
const maxEmpty = 4

// begins waits for the first byte of a request.
func (c *serverConn) begins(first bool) error {
	for empty := 0; ; empty++ {
		if c.in.unused() == 0 {
			limit := c.limits.Idle
			if first { // a new connection has no reason to be idle
				limit = c.limits.HeadTimeout
			}
			c.readUntil(time.Now().Add(limit))
			c.waiting(idle, first)
			if c.server.stopping.Load() {
				return errGone
			}
			err := c.idle.fill()
			if !c.waiting(nothing, first) || err != nil { // from here on no other goroutine moves the deadline
				return errGone // no request is there to answer
			}
		}
		if empty == maxEmpty || !c.in.startsWith("\r") {
			return nil
		}
		if c.in.unused() == 1 {
			if err := c.more(first, func() error { return c.in.fill(c.limits.Head) }); err != nil {
				return err
			}
		}
		if !c.in.startsWith("\r\n") {
			return nil
		}
		c.in.r += len("\r\n")
	}
}

// more calls read, which reads the rest of a head or of an empty line before it, with
// the timeout for heads.
func (c *serverConn) more(first bool, read func() error) error {
	c.readUntil(time.Now().Add(c.limits.HeadTimeout))
	c.waiting(half, first)
	err := read()
	if !c.waiting(nothing, first) {
		return errGone
	}
	return err
}

// await reads the head of the next request.
func (c *serverConn) await(first bool) (string, error) {
	var head string
	err := c.begins(first)
	if err == nil {
		head, err = c.in.takeHead(c.limits.Head, 0, "")
	}
	if head == "" && err == nil {
		err = c.more(first, func() (err error) {
			head, err = c.in.head(c.limits.Head, "")
			return err
		})
	}
	switch {
	case err == nil:
		return head, nil
	case errors.Is(err, errHeadTooLarge):
		return "", &malformed{status: http.StatusRequestHeaderFieldsTooLarge, err: errors.New("the head of the request is larger than " + c.limits.HeadSetting)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", &malformed{status: http.StatusRequestTimeout, err: errors.New("the head of the request did not come in time")}
	}
	return "", errGone
}

// readUntil sets the deadline of reads. A failure shows in the read.
func (c *serverConn) readUntil(at time.Time) { _ = c.nc.SetReadDeadline(at) }
