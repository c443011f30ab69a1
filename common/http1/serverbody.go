package http1

import (
	"errors"
	"io"
	"time"
)

// interrupt ends a read of the request's body, and the connection after the
// answer: where the next request begins is then unknown.
func (c *serverConn) interrupt() {
	c.watch.mu.Lock() // or the deadline could hit the watch, which would take it for the application's leaving
	defer c.watch.mu.Unlock()
	if c.watch.whole {
		return
	}
	c.interrupted.Store(true)
	c.readUntil(time.Unix(1, 0))
}

// discard reads what nobody wanted of a request's body.
func (c *serverConn) discard() bool {
	if c.body.ended() {
		return true
	}
	if c.awaits100 || c.bodyUncertain || c.interrupted.Load() {
		return false // it may or may not come
	}
	c.readUntil(time.Now().Add(time.Second))        // or the connection ends
	_, _ = io.CopyN(io.Discard, &c.body, maxUnread) // the outcome is asked below
	return c.body.ended()
}

// ErrExpect refuses an expectation that nobody here can meet.
const ErrExpect = Fault("Expect is not 100-continue, the only expectation that is known here")

var errCut = errors.New("the rest of the body is not wanted")

// requestBody reads the request's body, with the deadline of the listener.
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
		var until time.Time // none where the body need not come: interrupt ends the wait
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
