package instance

import (
	"context"
	"log/slog"

	"github.com/lsm/fiso/common/telemetry"
	"github.com/lsm/fiso/link/internal/proxy"
)

// observe counts a call, and tells of it where a fault of ours ended it, or
// every call is to be told of. The line has the trace that the call belongs to.
func (i *Instance) observe(r proxy.Record) {
	i.metrics.observe(r)
	ctx := context.Background()
	level, words := slog.LevelDebug, "call"
	if r.Stack != "" {
		level, words = slog.LevelError, "a call ended in a fault of fiso-link: please report it"
	}
	if !i.o.Log.Enabled(ctx, level) {
		return
	}
	ctx = telemetry.Extract(ctx, r.Traceparent, "")
	attrs := []slog.Attr{
		slog.String("target", r.Target), slog.String("method", r.Method), slog.Int("status", r.Status), slog.String("mode", r.Mode),
		slog.Int("attempts", r.Attempts), slog.Duration("took", r.Took),
	}
	if r.Code != "" {
		attrs = append(attrs, slog.String("code", string(r.Code)))
	}
	if r.Stack != "" {
		attrs = append(attrs, slog.String("stack", r.Stack))
	}
	i.o.Log.LogAttrs(ctx, level, words, attrs...)
}
