package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// limitedLog allows ten lines a second and counts the others, so that a topic
// full of bad events does not fill the log.
type limitedLog struct {
	mu         sync.Mutex
	second     time.Time
	written    int
	suppressed int
}

const linesPerSecond = 10

// allow reports whether a line may be written, and how many were suppressed
// before it.
func (q *limitedLog) allow(now time.Time) (suppressed int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.second) >= time.Second {
		q.second, q.written = now, 0
	}
	if q.written++; q.written > linesPerSecond {
		q.suppressed++
		return 0, false
	}
	suppressed, q.suppressed = q.suppressed, 0
	return suppressed, true
}

// logEvent logs a line about one event. It names the event by its position, its id and,
// unless the transform failed, its sink.
func (e *Engine) logEvent(ctx context.Context, level slog.Level, t *task, msg string, attrs ...slog.Attr) {
	if !e.cfg.Logger.Enabled(ctx, level) {
		return
	}
	m := t.entry.m
	all := append(make([]slog.Attr, 0, 8), slog.String("position", m.Position.String()))
	if id := deadletter.EventID(m); id != "" {
		all = append(all, slog.String("id", id))
	}
	if s := t.sink(); s != "" {
		all = append(all, slog.String("sink", s))
	}
	e.cfg.Logger.LogAttrs(ctx, level, msg, append(all, attrs...)...)
}

func (e *Engine) logGivenUp(t *task, what string, code fault.Code, err error) {
	suppressed, ok := e.logs.allow(time.Now())
	if !ok {
		return
	}
	e.logEvent(t.context(t.call), slog.LevelWarn, t, what, slog.String("code", string(code)),
		slog.Int("retries", t.retries), slog.Any("error", err), slog.Int("suppressed", suppressed))
}

func (e *Engine) logRetry(t *task, delay time.Duration, err error) {
	e.logEvent(t.context(t.call), slog.LevelDebug, t, "event retried later", slog.Int("pause", t.pauses),
		slog.Duration("delay", delay), slog.Any("error", err))
}

// logAsked logs a pause that the sink asked for and that is longer than the
// maximum of the retry policy.
func (e *Engine) logAsked(t *task, asked, delay time.Duration, err error) {
	suppressed, ok := e.logs.allow(time.Now())
	if !ok {
		return
	}
	e.logEvent(t.context(t.call), slog.LevelWarn, t, "sink asked for a long pause", slog.Duration("asked", asked), slog.Duration("delay", delay),
		slog.Duration("longest", MaxRetryAfter), slog.Any("error", err), slog.Int("suppressed", suppressed))
}

// logHeld logs when the first event is held, and when none is held any more.
// The caller holds the lock.
func (e *Engine) logHeld(t *task) {
	ctx := t.context(t.entry.in.source.Context())
	switch {
	case t.held == nil && len(e.held) == 0:
		e.cfg.Logger.InfoContext(ctx, "no events held")
	case t.held != nil && len(e.held) == 1:
		e.logEvent(ctx, slog.LevelError, t, "event held", slog.String("reason", t.held.reason()))
	}
}

// panicked logs a panic with its stack, and returns it as an error without the
// stack, which does not belong in a dead letter.
func (e *Engine) panicked(ctx context.Context, m *connector.Message, where string, r any) error {
	e.cfg.Logger.ErrorContext(ctx, "panic recovered",
		slog.String("where", where), slog.String("position", m.Position.String()),
		slog.String("panic", fault.DescribePanic(r)), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("the %s panicked: %s", where, fault.DescribePanic(r))
}

// logGate logs when the gate of an output opens or closes. The caller holds the
// lock.
func (e *Engine) logGate(s *step) {
	ctx := context.Background()
	if s.gate.state == gateOpen {
		e.cfg.Logger.InfoContext(ctx, "output resumed", slog.String("sink", s.name()))
		return
	}
	e.cfg.Logger.ErrorContext(ctx, "output paused", slog.String("sink", s.name()), slog.String("reason", s.gate.describe()))
}
