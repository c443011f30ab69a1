package http1

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// watchAfter is how long a call takes before its connection is watched. Most calls are
// shorter and so need no second goroutine.
const watchAfter = 200 * time.Millisecond

// watch notices that an application goes away during its call. After the whole request
// was read, a goroutine reads on: what it reads is the start of the next request, and
// stays in the buffer. The call is cancelled if the connection is reset, or closed by the
// application, but not if the application has ended only its side.
type watch struct {
	mu      sync.Mutex
	timer   *time.Timer
	serving bool          // a call is in progress
	whole   bool          // the whole request was read
	late    bool          // the call has taken longer than watchAfter
	reading chan struct{} // closed when the goroutine ends; nil: there is none
}

// start is called when a call begins.
func (w *watch) start(c *serverConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serving, w.late, w.whole = true, false, c.body.ended()
	if w.timer == nil {
		w.timer = time.AfterFunc(watchAfter, func() { w.due(c) })
	} else {
		w.timer.Reset(watchAfter)
	}
}

// arm is called when the whole request was read.
func (w *watch) arm(c *serverConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = true
	w.read(c)
}

func (w *watch) due(c *serverConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = true
	w.read(c)
}

// read starts the goroutine if the conditions hold. The caller holds mu.
func (w *watch) read(c *serverConn) {
	if !w.serving || !w.late || !w.whole || w.reading != nil || c.in.w == len(c.in.data) {
		return
	}
	done := make(chan struct{})
	w.reading = done
	c.readUntil(time.Time{})
	go func() {
		defer close(done)
		err := c.in.fill(len(c.in.data))
		if err == nil {
			return
		}
		if errors.Is(err, io.EOF) {
			c.awaitLeaving()
		}
		w.mu.Lock()
		gone := w.serving // otherwise stop has ended the read
		w.mu.Unlock()
		if gone {
			c.ctx.End(context.Canceled)
		}
	}()
}

// awaitLeaving waits until an application that has ended its side of the connection is
// gone. The application may have closed the connection or still wait for its answer. To
// find out, awaitLeaving sends 100 (Continue), which every client may discard (RFC 9110,
// section 15.2.1) and a closed connection answers with a reset. In HTTP/1.0, and after
// the answer has begun, only later writes or TCP keep-alive can show it. A stream of
// events may be silent for long, so there the end of the application's side counts as
// gone.
func (c *serverConn) awaitLeaving() {
	if c.w.minor > 0 {
		_, _ = c.w.sendContinue() // awaitReset sees a failure, too
	}
	c.began.Lock()
	gone := c.w.endless
	c.began.Unlock()
	if !gone {
		awaitReset(c.nc)
	}
}

// stop is called when the call ends. It waits until the goroutine, which uses the buffer,
// has ended.
func (w *watch) stop(c *serverConn) {
	w.mu.Lock()
	w.serving = false
	w.timer.Stop() // if it fires all the same, the next call is watched early
	reading := w.reading
	w.reading = nil
	w.mu.Unlock()
	if reading != nil {
		c.readUntil(time.Unix(1, 0)) // ends the read
		<-reading
		c.readUntil(time.Time{}) // the next read sets its own
	}
}
