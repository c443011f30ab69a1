package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lsm/fiso/common/telemetry"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// observe counts a call, and tells of it where it failed at the target or at us,
// and of every call where the level is debug.
func (i *Server) observe(r proxy.CallRecord) {
	i.metrics.observe(r)
	if r.Stack != "" {
		i.logCall(r, slog.LevelError, "a call ended in a fault of fiso-link: please report it", slog.String("stack", r.Stack))
		return
	}
	if r.Code != "" && r.Code.Status() >= 500 {
		more, due := i.told.allow(r.Target, r.Code, time.Now())
		switch {
		case due && more > 0:
			i.logCall(r, slog.LevelWarn, "a call failed", slog.Int("not_logged", more))
		case due:
			i.logCall(r, slog.LevelWarn, "a call failed")
		}
	}
	i.logCall(r, slog.LevelDebug, "call")
}

// logCall logs a call, with the trace that it belongs to.
func (i *Server) logCall(r proxy.CallRecord, level slog.Level, words string, more ...slog.Attr) {
	ctx := context.Background()
	if !i.o.Logger.Enabled(ctx, level) {
		return
	}
	ctx = telemetry.Extract(ctx, r.Traceparent, "")
	attrs := []slog.Attr{
		slog.String("target", r.Target), slog.String("method", r.Method), slog.Int("status", r.Status), slog.String("mode", r.Mode),
		slog.Int("attempts", r.Attempts), slog.Duration("took", r.Duration),
	}
	if r.Code != "" {
		attrs = append(attrs, slog.String("code", string(r.Code)), slog.String("reason", r.Detail))
	}
	i.o.Logger.LogAttrs(ctx, level, words, append(attrs, more...)...)
}

// failureLog keeps what fails from filling the log: one line a minute for each target
// and code. The zero value works.
type failureLog struct {
	mu   sync.Mutex
	last map[failure]*logCount
}

type failure struct {
	target string
	code   call.Code
}

type logCount struct {
	at   time.Time // of the last one
	more int       // failures since, of which there is none
}

const (
	logInterval = time.Minute
	// maxFailureKeys bounds what is remembered of targets that are no longer configured.
	maxFailureKeys = 4096
)

// allow reports whether a failure has its line now, and how many before it had none.
func (t *failureLog) allow(target string, code call.Code, now time.Time) (more int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.last[failure{target, code}]
	switch {
	case l == nil:
		if t.last == nil || len(t.last) >= maxFailureKeys {
			t.last = map[failure]*logCount{}
		}
		t.last[failure{target, code}] = &logCount{at: now}
		return 0, true
	case now.Sub(l.at) < logInterval:
		l.more++
		return 0, false
	}
	more = l.more
	l.at, l.more = now, 0
	return more, true
}
