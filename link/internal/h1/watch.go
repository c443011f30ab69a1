package h1

import (
	"sync"
	"time"
)

// watchAfter is how long a call may take before its connection is watched for
// the application's leaving. Most calls are over by then, and cost nothing.
const watchAfter = 200 * time.Millisecond

// watch notices that an application goes away while its call is under way. Once
// the request was read whole, it reads on in a goroutine of its own: what comes
// is the next request, and waits in the buffer; an end cancels the call.
type watch struct {
	mu      sync.Mutex
	timer   *time.Timer
	serving bool
	whole   bool          // the request was read
	late    bool          // the timer ran
	reading chan struct{} // closed when the reader is done; nil: there is none
}

// start begins a call.
func (w *watch) start(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serving, w.late, w.whole = true, false, c.body.over()
	if w.timer == nil {
		w.timer = time.AfterFunc(watchAfter, func() { w.due(c) })
	} else {
		w.timer.Reset(watchAfter)
	}
}

// arm says that the request was read whole.
func (w *watch) arm(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = true
	w.read(c)
}

func (w *watch) due(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = true
	w.read(c)
}

// read starts the reader when it is time for it. Called with the lock held.
func (w *watch) read(c *conn) {
	if !w.serving || !w.late || !w.whole || w.reading != nil || c.in.w == len(c.in.data) {
		return
	}
	done := make(chan struct{})
	w.reading = done
	_ = c.nc.SetReadDeadline(time.Time{}) // a failure shows in the read
	go func() {
		defer close(done)
		if c.in.fill(len(c.in.data)) == nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.serving {
			c.cancel()
		}
	}()
}

// stop ends the watch, and waits until the buffer is the connection's alone.
func (w *watch) stop(c *conn) {
	w.mu.Lock()
	w.serving = false
	w.timer.Stop()
	reading := w.reading
	w.reading = nil
	w.mu.Unlock()
	if reading != nil {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // ends the read
		<-reading
		_ = c.nc.SetReadDeadline(time.Time{}) // the next read sets its own
	}
}
