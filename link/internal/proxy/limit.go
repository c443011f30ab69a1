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
	t.Timeouts.Begin(&l.total, l.began, l.late)
}

func (l *limit) late() { l.End(context.DeadlineExceeded) }

// left is what is left of the total time.
func (l *limit) left() time.Duration { return l.of.Total() - time.Since(l.began) }

// stream exempts the call from its total time: from here on a pause of idle ends
// it, or that its target was changed or removed, and it had the time to drain.
func (l *limit) stream(retired context.Context, idle time.Duration) {
	l.moved()
	if l.timer != nil {
		return // it is one already
	}
	l.of.Timeouts.End(&l.total)
	if retired != nil {
		l.unhook = context.AfterFunc(retired, l.late)
	}
	l.pause = idle
	l.timer = time.AfterFunc(time.Hour, l.paused)
	l.timer.Reset(idle) // paused knows the timer from here on
}

// moved says that something moved. Moving the timer each time would cost more
// than the chunk that did.
func (l *limit) moved() { l.last.Store(int64(time.Since(l.began))) }

func (l *limit) paused() {
	if left := l.pause + time.Duration(l.last.Load()) - time.Since(l.began); left > 0 {
		l.timer.Reset(left)
		return
	}
	l.late()
}

func (l *limit) stop() {
	l.of.Timeouts.End(&l.total)
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
