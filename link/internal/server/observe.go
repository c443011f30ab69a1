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

// observe counts a call, and logs it: failures of a target at warn, a panic of
// fiso-link at error, every call at debug.
func (s *Server) observe(r proxy.CallRecord) {
	s.metrics.observe(r)
	if r.Stack != "" {
		s.logCall(r, slog.LevelError, "internal error", slog.String("action", "please report it"), slog.String("stack", r.Stack))
		return
	}
	if r.Code != "" && r.Code.Status() >= 500 {
		more, due := s.failures.allow(r.Target, r.Code, time.Now())
		switch {
		case due && more > 0:
			s.logCall(r, slog.LevelWarn, "call failed", slog.Int("not_logged", more))
		case due:
			s.logCall(r, slog.LevelWarn, "call failed")
		}
	}
	s.logCall(r, slog.LevelDebug, "call")
}

// logCall logs a call with the trace that it belongs to.
func (s *Server) logCall(r proxy.CallRecord, level slog.Level, msg string, more ...slog.Attr) {
	ctx := context.Background()
	if !s.o.Logger.Enabled(ctx, level) {
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
	s.o.Logger.LogAttrs(ctx, level, msg, append(attrs, more...)...)
}

// failureLog limits the log of failures to one line a minute for each target and code.
// The zero value works.
type failureLog struct {
	mu   sync.Mutex
	last map[failure]*logCount
}

type failure struct {
	target string
	code   call.Code
}

type logCount struct {
	at   time.Time // time of the last line
	more int       // failures since then, which have no line
}

const (
	logInterval = time.Minute
	// maxFailureKeys bounds the entries, which include targets that are no longer
	// configured.
	maxFailureKeys = 4096
)

// allow reports whether to log a failure now, and how many before it were not logged.
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
