package grpc

import (
	"sync/atomic"
	"time"
)

// watch calls a function if one write takes too long: longer than limit, and at most
// twice as long. It costs a write two atomic operations and no timer: a timer looks at it
// once every limit, while there are writes.
type watch struct {
	limit time.Duration
	late  func()
	timer *time.Timer
	armed atomic.Bool
	// count is odd during a write, and grows by one at its beginning and its end.
	count atomic.Uint64
	seen  atomic.Uint64 // count when the timer looked last
}

func newWatch(limit time.Duration, late func()) *watch {
	w := &watch{limit: limit, late: late}
	w.timer = time.AfterFunc(limit, w.look)
	w.armed.Store(true)
	return w
}

func (w *watch) begin() {
	w.count.Add(1)
	if !w.armed.Load() {
		w.armed.Store(true)
		w.timer.Reset(w.limit)
	}
}

func (w *watch) end() { w.count.Add(1) }

func (w *watch) stop() { w.timer.Stop() }

// look runs in the goroutine of the timer.
func (w *watch) look() {
	now := w.count.Load()
	switch {
	case now%2 == 0: // no write
		w.armed.Store(false)
		if w.count.Load() == now {
			return
		}
		w.armed.Store(true) // a write began and did not see that
	case now == w.seen.Load():
		w.late()
		return
	}
	w.seen.Store(now)
	w.timer.Reset(w.limit)
}
