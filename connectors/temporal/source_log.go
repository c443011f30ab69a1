package temporal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/log"
)

// Bounds of what the SDK may log: it has lines for each event and each call.
const (
	logLines  = 20
	logWindow = 10 * time.Second
)

// sdkLogger writes the SDK's log to slog, a bounded number of lines in a time.
type sdkLogger struct {
	out   *slog.Logger
	bound *logBound
}

var (
	_ log.Logger     = (*sdkLogger)(nil)
	_ log.WithLogger = (*sdkLogger)(nil)
)

func newSDKLogger(out *slog.Logger) *sdkLogger { return &sdkLogger{out, &logBound{}} }

// Debug implements log.Logger, like the methods below.
func (l *sdkLogger) Debug(msg string, keyvals ...any) { l.write(slog.LevelDebug, msg, keyvals) }

// Info is for remarks that need no action.
func (l *sdkLogger) Info(msg string, keyvals ...any) { l.write(slog.LevelInfo, msg, keyvals) }

// Warn is for failures that the SDK tries to get over.
func (l *sdkLogger) Warn(msg string, keyvals ...any) { l.write(slog.LevelWarn, msg, keyvals) }

// Error is for failures of an activity or a worker.
func (l *sdkLogger) Error(msg string, keyvals ...any) { l.write(slog.LevelError, msg, keyvals) }

// With returns a logger that adds keyvals to each line.
func (l *sdkLogger) With(keyvals ...any) log.Logger {
	return &sdkLogger{l.out.With(keyvals...), l.bound}
}

func (l *sdkLogger) write(level slog.Level, msg string, keyvals []any) {
	ctx := context.Background() // the SDK hands over none
	if !l.out.Enabled(ctx, level) {
		return
	}
	allowed, omitted := l.bound.take(time.Now())
	if omitted > 0 {
		l.out.Warn("temporal sdk log lines omitted", "lines", omitted)
	}
	if allowed {
		l.out.Log(ctx, level, "temporal sdk", append([]any{"event", msg}, keyvals...)...)
	}
}

// logBound counts lines.
type logBound struct {
	mu      sync.Mutex
	began   time.Time // of the window
	lines   int       // in the window
	omitted int       // in the window
}

// take reports whether one more line may be written, and how many lines of a window that is
// over were omitted.
func (b *logBound) take(now time.Time) (allowed bool, omitted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.began) >= logWindow {
		omitted = b.omitted
		b.began, b.lines, b.omitted = now, 0, 0
	}
	if b.lines < logLines {
		b.lines++
		return true, omitted
	}
	b.omitted++
	return false, omitted
}
