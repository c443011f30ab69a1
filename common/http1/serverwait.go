package http1

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// maxEmpty is how many empty lines may come before a request. Some applications end
// a body with one that does not belong to it (RFC 9112, section 2.2).
const maxEmpty = 4

// begins waits for the beginning of a request.
func (c *serverConn) begins(first bool) error {
	for empty := 0; ; empty++ {
		if c.in.unused() == 0 {
			c.waitDeadline(first)
			c.waiting(idle, first)
			if c.server.isStopping() {
				return errGone
			}
			err := c.idle.fill()
			if !c.waiting(nothing, first) || err != nil { // from here on nobody else touches the deadline
				return errGone // between two requests there is nobody to tell
			}
		}
		if empty < maxEmpty && c.in.halfEmpty() {
			if err := c.more(first, func() error { return c.in.fill(c.limits.Head) }); err != nil {
				return err
			}
		}
		if empty == maxEmpty || !c.in.skipEmpty() {
			return nil
		}
	}
}

// more reads on in a head, or in an empty line before it, for as long as a head may
// take.
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
		head, err = c.in.wholeHead(c.limits.Head)
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
		return "", &malformed{http.StatusRequestHeaderFieldsTooLarge, errors.New("the head of the request is larger than " + c.limits.HeadSetting)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", &malformed{http.StatusRequestTimeout, errors.New("the head of the request did not come in time")}
	}
	return "", errGone
}

// waitDeadline gives the wait for a request its time. Moving a deadline costs as
// much as a small read, so one that has three quarters of its time left stays.
func (c *serverConn) waitDeadline(first bool) {
	if first { // who connects has something to say
		c.readUntil(time.Now().Add(c.limits.HeadTimeout))
		return
	}
	now, most := time.Now(), c.limits.Idle
	if c.moved.Swap(false) || c.until.Sub(now) < most-most/4 {
		c.until = now.Add(most)
		_ = c.nc.SetReadDeadline(c.until) // a failure shows in the read that follows
	}
}

// readUntil moves the deadline of reads. A failure shows in the read.
func (c *serverConn) readUntil(at time.Time) {
	c.moved.Store(true)
	_ = c.nc.SetReadDeadline(at)
}
