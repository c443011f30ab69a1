//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"log/slog"
)

// logger writes the log of a member to the history.
func (sim *simulation) logger(member string) *slog.Logger {
	return slog.New(&historyHandler{h: sim.history, member: member})
}

// historyHandler is a slog.Handler that writes to the history.
type historyHandler struct {
	h      *history
	member string
	attrs  []slog.Attr
}

func (l *historyHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (l *historyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &historyHandler{h: l.h, member: l.member, attrs: append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

func (l *historyHandler) WithGroup(string) slog.Handler { return l }

func (l *historyHandler) Handle(_ context.Context, r slog.Record) error {
	e := entry{member: l.member, text: r.Level.String() + " " + r.Message}
	r.Attrs(func(a slog.Attr) bool {
		if r.Message == "gap in the offsets" {
			e.kind = gapReported
			switch a.Key {
			case "partition":
				e.part = int32(a.Value.Int64()) //nolint:gosec // G115: one of six
			case "from":
				e.offset = a.Value.Int64()
			case "to":
				e.upTo = a.Value.Int64()
			}
		}
		e.text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	l.h.add(e)
	return nil
}
