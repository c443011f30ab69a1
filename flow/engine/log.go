package engine

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/fault"
)

// quiet lets ten lines a second through and counts the rest, so that a topic
// full of poison does not become a log full of it.
type quiet struct {
	mu     sync.Mutex
	second time.Time
	said   int
	unsaid int
}

const linesPerSecond = 10

// ask reports whether a line may be written, and how many were not before it.
func (q *quiet) ask(now time.Time) (unsaid int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.second) >= time.Second {
		q.second, q.said = now, 0
	}
	if q.said++; q.said > linesPerSecond {
		q.unsaid++
		return 0, false
	}
	unsaid, q.unsaid = q.unsaid, 0
	return unsaid, true
}

func (e *Engine) logGivenUp(it *item, what string, code fault.Code, err error) {
	unsaid, ok := e.quiet.ask(time.Now())
	if !ok {
		return
	}
	e.cfg.Logger.WarnContext(e.context(it.call, it), what,
		slog.String("position", it.m.Position.String()), slog.String("code", string(code)),
		slog.Int("retries", it.retries), slog.Any("error", err), slog.Int("unsaid", unsaid))
}

func (e *Engine) logRetry(it *item, delay time.Duration, err error) {
	ctx := e.context(it.call, it)
	if !e.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	e.cfg.Logger.DebugContext(ctx, "Trying an event again later",
		slog.String("position", it.m.Position.String()), slog.Int("pause", it.pauses),
		slog.Duration("delay", delay), slog.Any("error", err))
}

// logAsked tells of a pause that the sink asked for and that is longer than any
// of the flow's own.
func (e *Engine) logAsked(it *item, asked, delay time.Duration, err error) {
	unsaid, ok := e.quiet.ask(time.Now())
	if !ok {
		return
	}
	e.cfg.Logger.WarnContext(e.context(it.call, it), "sink asked for a long pause",
		slog.String("position", it.m.Position.String()), slog.Duration("asked", asked), slog.Duration("delay", delay),
		slog.Duration("longest", LongestAsked), slog.Any("error", err), slog.Int("unsaid", unsaid))
}

// logHeld tells when the first event is held and when the last goes on. Called
// with the lock held.
func (e *Engine) logHeld(it *item, reason string) {
	ctx := e.context(it.lane.shard.ctx, it)
	switch {
	case reason == "" && len(e.held) == 0:
		e.cfg.Logger.InfoContext(ctx, "No event is held any more")
	case reason != "" && len(e.held) == 1:
		e.cfg.Logger.ErrorContext(ctx, "Holding an event that cannot be settled; it is tried again until it can",
			slog.String("position", it.m.Position.String()), slog.String("reason", reason))
	}
}

// panicked logs a panic with its stack and is the error it becomes, without:
// a stack does not belong into a dead letter.
func (e *Engine) panicked(ctx context.Context, m *connector.Message, where string, r any) error {
	e.cfg.Logger.ErrorContext(ctx, "Recovered from a panic",
		slog.String("where", where), slog.String("position", m.Position.String()),
		slog.String("panic", fault.DescribePanic(r)), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("the %s panicked: %s", where, fault.DescribePanic(r))
}
