package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// callLimit ends a call that takes too long: after its total time, or, for a stream,
// after a pause in both directions.
type callLimit struct {
	callctx.Context // of the call
	target          *target.Target
	total           resilience.Timeout
	began           time.Time
	last            atomic.Int64 // when something moved, since began
	bodyWait        callerWait   // for the application's body
	readWait        callerWait   // for the application to take the answer
	// Of a stream:
	idleTimeout time.Duration // the pause that ends the stream
	timer       *time.Timer   // nil: not a stream
	unhook      func() bool   // stops watching the target's end
}

// begin bounds a call by the target's total time. callLimit is the context of the
// call, and ends with DeadlineExceeded then.
func (l *callLimit) begin(ctx context.Context, t *target.Target) {
	l.target, l.began = t, time.Now()
	l.Begin(ctx)
	t.Timeouts.Start(&l.total, l.began, l.expire)
}

func (l *callLimit) expire() { l.End(context.DeadlineExceeded) }

// remaining is the rest of the total time.
func (l *callLimit) remaining() time.Duration { return l.target.TotalTimeout() - time.Since(l.began) }

// becomeStream exempts the call from its total time: from now on a pause of idle ends
// it, or the end of retired: the target was replaced, and the call had time to drain.
func (l *callLimit) becomeStream(retired context.Context, idle time.Duration) {
	l.progressed(nil)
	if l.timer != nil {
		return // it is one already
	}
	l.target.Timeouts.Stop(&l.total)
	if retired != nil {
		l.unhook = context.AfterFunc(retired, l.expire)
	}
	l.idleTimeout = idle
	l.timer = time.AfterFunc(time.Hour, l.idleTimerFired)
	l.timer.Reset(idle) // paused knows the timer from here on
}

// progressed records that bytes moved. It ends the wait w for the application; nil:
// the wait was for the target. The timer is not moved each time, which would cost
// more than the chunk.
func (l *callLimit) progressed(w *callerWait) {
	now := int64(time.Since(l.began))
	l.last.Store(now)
	if w != nil {
		w.end(now)
	}
}

// beginReadWait begins to wait for the application to read.
func (l *callLimit) beginReadWait() { l.readWait.begin(l.last.Load()) }

// beginBodyWait begins to wait for the application's body.
func (l *callLimit) beginBodyWait() { l.bodyWait.begin(int64(time.Since(l.began))) }

func (l *callLimit) idleTimerFired() {
	if left := l.idleTimeout + time.Duration(l.last.Load()) - time.Since(l.began); left > 0 {
		l.timer.Reset(left)
		return
	}
	l.expire()
}

func (l *callLimit) stop() {
	l.target.Timeouts.Stop(&l.total)
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.unhook != nil {
		l.unhook()
	}
	l.End(context.Canceled)
}

// limitEnded reports whether a call's own limit ended it, and not its application.
func limitEnded(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// callerWait measures how long a call waits for its application, in one direction.
// One goroutine begins and ends waits; others may read.
type callerWait struct {
	spent   atomic.Int64 // total of past waits
	longest atomic.Int64 // longest past wait
	since   atomic.Int64 // start of the current wait, plus one; 0: none
}

func (w *callerWait) begin(now int64) { w.since.Store(now + 1) }

func (w *callerWait) end(now int64) {
	took := now - (w.since.Swap(0) - 1)
	w.spent.Add(took)
	w.longest.Store(max(w.longest.Load(), took))
}

func (w *callerWait) total(now int64) (spent, longest int64) {
	spent, longest = w.spent.Load(), w.longest.Load()
	if since := w.since.Load(); since > 0 {
		took := max(now-(since-1), 0)
		return spent + took, max(longest, took)
	}
	return spent, longest
}

// waitMark is a time of a call, and how long it had waited for its application by
// then. The zero waitMark is the call's beginning.
type waitMark struct{ at, spent int64 }

func (l *callLimit) markNow() waitMark {
	now := int64(time.Since(l.began))
	spent, _ := l.waitedForCaller(now)
	return waitMark{now, spent}
}

func (l *callLimit) waitedForCaller(now int64) (spent, longest int64) {
	spent, longest = l.bodyWait.total(now)
	took, long := l.readWait.total(now)
	return spent + took, max(longest, long)
}

// callerSlowSince reports whether the application took at least half of the time
// since m: a timeout then says nothing about the target.
func (l *callLimit) callerSlowSince(m waitMark) bool {
	now := int64(time.Since(l.began))
	spent, _ := l.waitedForCaller(now)
	return 2*(spent-m.spent) >= now-m.at
}

// longPause is a pause of the application after which the target may close the
// connection.
const longPause = time.Second

// callerPausedLong reports whether the application took at least half of the call's
// time, with a long pause.
func (l *callLimit) callerPausedLong() bool {
	_, longest := l.waitedForCaller(int64(time.Since(l.began)))
	return longest >= int64(longPause) && l.callerSlowSince(waitMark{})
}
