package http1

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// watchAfter is how long a call may take before its connection is watched for
// the application's leaving. Most calls are over by then, and cost nothing.
const watchAfter = 200 * time.Millisecond

// watch notices that an application goes away while its call is under way. Once
// the request was read whole, it reads on in a goroutine of its own: what comes
// is the next request, and waits in the buffer. A connection that is reset cancels the
// call, and so does one that the application has closed; one of which it has ended
// its side alone does not.
type watch struct {
	mu      sync.Mutex
	timer   *time.Timer
	armed   bool // the timer runs
	serving bool
	began   time.Time     // the call
	whole   bool          // the request was read
	late    bool          // the call takes long
	reading chan struct{} // closed when the reader is done; nil: there is none
}

// start begins a call. The timer is that of the connection: one that runs for an
// earlier call goes on for this one, which spares most calls setting and stopping it.
func (w *watch) start(c *serverConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serving, w.late, w.whole, w.began = true, false, c.body.ended(), time.Now()
	switch {
	case w.armed:
	case w.timer == nil:
		w.timer = time.AfterFunc(watchAfter, func() { w.due(c) })
	default:
		w.timer.Reset(watchAfter)
	}
	w.armed = true
}

// arm says that the request was read whole.
func (w *watch) arm(c *serverConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = true
	w.read(c)
}

func (w *watch) due(c *serverConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	if !w.serving {
		return
	}
	if left := watchAfter - time.Since(w.began); left > 0 {
		w.armed = true
		w.timer.Reset(left)
		return
	}
	w.late = true
	w.read(c)
}

// read starts the reader when it is time for it. Called with the lock held.
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
		gone := w.serving // or it was stop that ended the read
		w.mu.Unlock()
		if gone {
			c.ctx.End(context.Canceled)
		}
	}()
}

// awaitLeaving waits until an application that has ended its side of the connection
// is gone. It may have closed the connection or still wait for its answer, which it
// gets however long that takes. To tell the two apart something has to be sent: 100
// (Continue), which every client may discard (RFC 9110, section 15.2.1), and to which
// a closed connection answers with a reset. HTTP/1.0 knows no such answer, and none
// can be sent into one that has begun: there the writes that follow show it, or
// keep-alive. A stream of events may be silent for long, and would hold its place for
// nobody: an application that ends its side then is gone.
func (c *serverConn) awaitLeaving() {
	if c.w.minor > 0 {
		_, _ = c.w.sendContinue() // that it fails shows below, too
	}
	c.began.Lock()
	gone := c.w.endless
	c.began.Unlock()
	if !gone {
		awaitReset(c.nc)
	}
}

// end stops the timer of a connection that is over.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// stop ends the watch, and waits until the buffer is the connection's alone.
func (w *watch) stop(c *serverConn) {
	w.mu.Lock()
	w.serving = false
	reading := w.reading
	w.reading = nil
	w.mu.Unlock()
	if reading != nil {
		c.readUntil(time.Unix(1, 0)) // ends the read
		<-reading
		c.readUntil(time.Time{}) // the next read sets its own
	}
}
