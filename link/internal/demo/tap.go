package demo

import (
	"context"
	"log/slog"
)

// logTap passes fiso-link's log on, and shows changes of breakers and reloads.
type logTap struct {
	slog.Handler
	ledger *ledger
	target string
}

// Handle passes a record on, and adds news to the ledger.
func (t *logTap) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "circuit breaker changed":
		to := ""
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "to" {
				to = a.Value.String()
			}
			return true
		})
		t.ledger.breakerChanged(t.target, to)
	case "configuration reloaded":
		t.ledger.say("★", "fiso-link: configuration reloaded")
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs keeps the name of the target.
func (t *logTap) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := &logTap{t.Handler.WithAttrs(attrs), t.ledger, t.target}
	for _, a := range attrs {
		if a.Key == "target" {
			next.target = a.Value.String()
		}
	}
	return next
}
