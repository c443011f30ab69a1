package http1

import (
	"errors"
	"io"
	"time"
)

// interrupt ends a read of the request's body. The connection ends after the answer,
// because the start of the next request is unknown.
func (c *serverConn) interrupt() {
	c.watch.mu.Lock() // the watch must not see this deadline: it would end the call
	defer c.watch.mu.Unlock()
	if c.watch.whole {
		return
	}
	c.interrupted.Store(true)
	c.readUntil(time.Unix(1, 0))
}

// discard reads the rest of a request's body, up to maxUnread bytes for up to a second.
// It reports whether the body is complete.
func (c *serverConn) discard() bool {
	if c.body.ended() {
		return true
	}
	if c.awaits100 || c.bodyUncertain || c.interrupted.Load() {
		return false // the rest may never come
	}
	c.readUntil(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, &c.body, maxUnread) // c.body keeps the error
	return c.body.ended()
}

// ErrExpect refuses an expectation other than 100-continue.
const ErrExpect = Fault("Expect is not 100-continue, the only expectation that is known here")

var errCut = errors.New("the rest of the body is not wanted")

// requestBody is Request.Body.
type requestBody struct{ c *serverConn }

func (b *requestBody) Read(p []byte) (int, error) {
	c := b.c
	if c.body.err != nil {
		return 0, c.body.err
	}
	if c.awaits100 {
		c.awaits100 = false
		asked, err := c.w.sendContinue()
		if err != nil {
			return 0, err
		}
		c.bodyUncertain = !asked
	}
	if c.in.unused() == 0 || c.body.kind == byChunks {
		var until time.Time // none if the body may never come: interrupt ends the wait
		if !c.bodyUncertain {
			until = time.Now().Add(max(c.limits.Body, time.Duration(c.server.bodyIdle.Load())))
		}
		c.readUntil(until)
	}
	if c.interrupted.Load() {
		return 0, errCut
	}
	n, err := c.body.Read(p)
	if c.body.ended() {
		c.watch.arm(c)
	}
	return n, err
}
