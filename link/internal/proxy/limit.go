package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// limit ends a call that takes too long: by its total time, or once it is a
// stream, when nothing moves on it in either direction.
type limit struct {
	call.Ending // of the call
	of          *target.Target
	total       resilience.Timeout
	began       time.Time
	last        atomic.Int64 // when something moved, since began
	sends       patience     // for the application's body
	takes       patience     // for the application to take the answer
	// Of a stream:
	pause  time.Duration // that ends it
	timer  *time.Timer   // nil: it is none
	unhook func() bool   // from the target's end
}

// begin bounds a call by the target's total time. It is the context of the call,
// which ends then with DeadlineExceeded.
func (l *limit) begin(ctx context.Context, t *target.Target) {
	l.of, l.began = t, time.Now()
	l.Begin(ctx)
	t.Timeouts.Start(&l.total, l.began, l.late)
}

func (l *limit) late() { l.End(context.DeadlineExceeded) }

// left is what is left of the total time.
func (l *limit) left() time.Duration { return l.of.Total() - time.Since(l.began) }

// stream exempts the call from its total time: from here on a pause of idle ends
// it, or that its target was changed or removed, and it had the time to drain.
func (l *limit) stream(retired context.Context, idle time.Duration) {
	l.moved(nil)
	if l.timer != nil {
		return // it is one already
	}
	l.of.Timeouts.Stop(&l.total)
	if retired != nil {
		l.unhook = context.AfterFunc(retired, l.late)
	}
	l.pause = idle
	l.timer = time.AfterFunc(time.Hour, l.paused)
	l.timer.Reset(idle) // paused knows the timer from here on
}

// moved says that something moved, and with it ends a wait for the application;
// nil: for the target. Moving the timer each time would cost more than the chunk
// that did.
func (l *limit) moved(w *patience) {
	now := int64(time.Since(l.began))
	l.last.Store(now)
	if w != nil {
		w.end(now)
	}
}

// take begins to wait for the application to take what has just come.
func (l *limit) take() { l.takes.begin(l.last.Load()) }

// send begins to wait for the application's body.
func (l *limit) send() { l.sends.begin(int64(time.Since(l.began))) }

func (l *limit) paused() {
	if left := l.pause + time.Duration(l.last.Load()) - time.Since(l.began); left > 0 {
		l.timer.Reset(left)
		return
	}
	l.late()
}

func (l *limit) stop() {
	l.of.Timeouts.Stop(&l.total)
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.unhook != nil {
		l.unhook()
	}
	l.End(context.Canceled)
}

// ended reports whether a call's own limit ended it, and not its application.
func ended(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// patience is the times that a call waits for its application, in one direction.
// One goroutine begins and ends them; others may look on.
type patience struct {
	spent   atomic.Int64 // in those that are over
	longest atomic.Int64 // of those
	since   atomic.Int64 // beginning of the one under way, and one more; 0: there is none
}

func (w *patience) begin(now int64) { w.since.Store(now + 1) }

func (w *patience) end(now int64) {
	took := now - (w.since.Swap(0) - 1)
	w.spent.Add(took)
	w.longest.Store(max(w.longest.Load(), took))
}

func (w *patience) until(now int64) (spent, longest int64) {
	spent, longest = w.spent.Load(), w.longest.Load()
	if since := w.since.Load(); since > 0 {
		took := max(now-(since-1), 0)
		return spent + took, max(longest, took)
	}
	return spent, longest
}

// mark is a time of a call, and what had been spent by then in waiting for its
// application. The zero mark is the call's beginning.
type mark struct{ at, spent int64 }

func (l *limit) mark() mark {
	now := int64(time.Since(l.began))
	spent, _ := l.waited(now)
	return mark{now, spent}
}

func (l *limit) waited(now int64) (spent, longest int64) {
	spent, longest = l.sends.until(now)
	took, long := l.takes.until(now)
	return spent + took, max(longest, long)
}

// slow reports whether the application took at least half of the time since m: a
// limit that has passed then says nothing of the target.
func (l *limit) slow(m mark) bool {
	now := int64(time.Since(l.began))
	spent, _ := l.waited(now)
	return 2*(spent-m.spent) >= now-m.at
}

// longPause is a pause of the application after which its target may close the
// connection by a limit of its own.
const longPause = time.Second

// rested reports whether the application took at least half of the call's time,
// with a long pause in it.
func (l *limit) rested() bool {
	_, longest := l.waited(int64(time.Since(l.began)))
	return longest >= int64(longPause) && l.slow(mark{})
}
