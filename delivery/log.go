package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// limitedLog lets ten lines a second through and counts the rest, so that a topic
// full of poison does not become a log full of it.
type limitedLog struct {
	mu         sync.Mutex
	second     time.Time
	written    int
	suppressed int
}

const linesPerSecond = 10

// allow reports whether a line may be written, and how many were not before it.
func (q *limitedLog) allow(now time.Time) (unsaid int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.second) >= time.Second {
		q.second, q.written = now, 0
	}
	if q.written++; q.written > linesPerSecond {
		q.suppressed++
		return 0, false
	}
	unsaid, q.suppressed = q.suppressed, 0
	return unsaid, true
}

func (e *Engine) logGivenUp(t *task, what string, code fault.Code, err error) {
	unsaid, ok := e.logs.allow(time.Now())
	if !ok {
		return
	}
	e.cfg.Logger.WarnContext(t.context(t.call), what,
		slog.String("position", t.entry.m.Position.String()), slog.String("code", string(code)),
		slog.Int("retries", t.retries), slog.Any("error", err), slog.Int("unsaid", unsaid))
}

func (e *Engine) logRetry(t *task, delay time.Duration, err error) {
	ctx := t.context(t.call)
	if !e.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	e.cfg.Logger.DebugContext(ctx, "event retried later",
		slog.String("position", t.entry.m.Position.String()), slog.Int("pause", t.pauses),
		slog.Duration("delay", delay), slog.Any("error", err))
}

// logAsked tells of a pause that the sink asked for and that is longer than any
// of the flow's own.
func (e *Engine) logAsked(t *task, asked, delay time.Duration, err error) {
	unsaid, ok := e.logs.allow(time.Now())
	if !ok {
		return
	}
	e.cfg.Logger.WarnContext(t.context(t.call), "sink asked for a long pause",
		slog.String("position", t.entry.m.Position.String()), slog.Duration("asked", asked), slog.Duration("delay", delay),
		slog.Duration("longest", MaxRetryAfter), slog.Any("error", err), slog.Int("unsaid", unsaid))
}

// logHeld tells when the first event is held and when the last goes on. Called
// with the lock held.
func (e *Engine) logHeld(t *task) {
	ctx := t.context(t.entry.in.source.Context())
	switch {
	case t.held == nil && len(e.held) == 0:
		e.cfg.Logger.InfoContext(ctx, "no event held any more")
	case t.held != nil && len(e.held) == 1:
		e.cfg.Logger.ErrorContext(ctx, "event held",
			slog.String("position", t.entry.m.Position.String()), slog.String("reason", t.held.words()))
	}
}

// panicked logs a panic with its stack and is the error it becomes, without:
// a stack does not belong into a dead letter.
func (e *Engine) panicked(ctx context.Context, m *connector.Message, where string, r any) error {
	e.cfg.Logger.ErrorContext(ctx, "panic recovered",
		slog.String("where", where), slog.String("position", m.Position.String()),
		slog.String("panic", fault.DescribePanic(r)), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("the %s panicked: %s", where, fault.DescribePanic(r))
}

// logGate tells when the gate of an output opens and closes. Called with the lock
// held.
func (e *Engine) logGate(s *step) {
	ctx := context.Background()
	if s.gate.state == gateOpen {
		e.cfg.Logger.InfoContext(ctx, "output goes on", slog.String("sink", s.name()))
		return
	}
	e.cfg.Logger.ErrorContext(ctx, "output waits", slog.String("sink", s.name()), slog.String("reason", s.gate.describe()))
}
