//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"log/slog"
)

// logger writes the log of a member to the history.
func (w *world) logger(who string) *slog.Logger { return slog.New(&logbook{h: w.history, who: who}) }

// logbook is a slog.Handler that writes to the history.
type logbook struct {
	h     *history
	who   string
	attrs []slog.Attr
}

func (l *logbook) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *logbook) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logbook{h: l.h, who: l.who, attrs: append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

func (l *logbook) WithGroup(string) slog.Handler { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	e := entry{who: l.who, text: r.Level.String() + " " + r.Message}
	r.Attrs(func(a slog.Attr) bool {
		if r.Message == "gap in the offsets" {
			e.what = gapped
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
