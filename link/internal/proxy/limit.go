package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// limit ends a call that takes too long: by its total time, or once it is a
// stream, when nothing moves on it in either direction.
type limit struct {
	cancel context.CancelCauseFunc
	until  time.Time // of the total time
	timer  *time.Timer
	began  time.Time
	idle   atomic.Int64 // nanoseconds; 0: it is no stream
	last   atomic.Int64 // when something moved, since began
	unhook func() bool  // from the target's end; nil: it is no stream
}

// newLimit bounds a call by its total time. The context that it returns ends
// then, with the cause DeadlineExceeded.
func newLimit(ctx context.Context, total time.Duration) (context.Context, *limit) {
	now := time.Now()
	l := &limit{began: now, until: now.Add(total)}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(total, l.due)
	return ctx, l
}

// stream exempts the call from its total time: from here on a pause of idle ends
// it, or that its target was changed or removed, and it had the time to drain.
func (l *limit) stream(retired context.Context, idle time.Duration) {
	if retired != nil && l.unhook == nil {
		l.unhook = context.AfterFunc(retired, func() { l.cancel(context.DeadlineExceeded) })
	}
	l.moved()
	l.idle.Store(int64(idle))
	l.timer.Reset(idle)
}

// moved says that something moved. Moving the timer each time would cost more
// than the chunk that did.
func (l *limit) moved() { l.last.Store(int64(time.Since(l.began))) }

func (l *limit) due() {
	if idle := l.idle.Load(); idle > 0 {
		if left := idle + l.last.Load() - int64(time.Since(l.began)); left > 0 {
			l.timer.Reset(time.Duration(left))
			return
		}
	}
	l.cancel(context.DeadlineExceeded)
}

func (l *limit) stop() {
	l.timer.Stop()
	if l.unhook != nil {
		l.unhook()
	}
	l.cancel(context.Canceled)
}

// ended reports whether a call's own limit ended it, and not its application.
func ended(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}
