package demo

import (
	"context"
	"log/slog"
)

// logTap hands fiso-link's log on, and shows what it says of breakers and reloads.
type logTap struct {
	slog.Handler
	ledger *ledger
	target string
}

// Handle tells the ledger what the demo is about.
func (t *logTap) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "circuit breaker":
		to := ""
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "to" {
				to = a.Value.String()
			}
			return true
		})
		t.ledger.breakerChanged(t.target, to)
	case "the configuration is reloaded":
		t.ledger.say("★", "fiso-link: the configuration is reloaded")
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
