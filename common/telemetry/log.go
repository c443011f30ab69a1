package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
)

// ParseLevel parses the name of a log level: debug, info, warn or error, in any case.
// "" is info.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug, nil
	case "info", "":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("log level %.40q is not known: use debug, info, warn or error", name)
	}
}

// levelName returns the name of the highest named level that is not above l.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}

// Terminal reports whether f is a terminal.
func Terminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

// Logger writes one line for each record of level and above to w: as JSON, or as a line
// for a person if terminal is set. If the context of a record holds a span, the line
// has its trace_id and span_id. Durations are written as 1.5s, times in RFC 3339. It is
// safe for concurrent use, and calls w.Write once for each line. level may change, as a
// *slog.LevelVar does.
func Logger(w io.Writer, level slog.Leveler, terminal bool) *slog.Logger {
	if terminal {
		w = console(w)
	}
	return slog.New(&handler{out: zerolog.New(zerolog.SyncWriter(w)), level: level})
}

// console converts JSON lines to readable ones. It honours NO_COLOR.
func console(w io.Writer) io.Writer {
	c := zerolog.NewConsoleWriter()
	c.Out = w
	c.PartsOrder = []string{slog.TimeKey, slog.LevelKey, slog.MessageKey}
	c.FieldsExclude = []string{slog.MessageKey}
	c.FormatPartValueByName = func(v any, _ string) string {
		s, _ := v.(string)
		return s
	}
	c.FormatTimestamp = func(v any) string {
		s, _ := v.(string)
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return s
		}
		return t.Local().Format("15:04:05.000")
	}
	return c
}

// timeLayout has milliseconds of constant width, so that lines can be sorted.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// handler is a slog.Handler that encodes lines with zerolog. It sets the names of fields
// itself, because zerolog keeps its names in global variables.
type handler struct {
	out   zerolog.Logger
	level slog.Leveler
	scope []scope
}

// scope is the result of one call of WithGroup (a name) or WithAttrs (attributes).
type scope struct {
	group string
	attrs []slog.Attr
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(scope{group: name})
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(scope{attrs: attrs})
}

func (h *handler) with(s scope) *handler {
	c := *h
	c.scope = append(c.scope[:len(c.scope):len(c.scope)], s)
	return &c
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	e := h.out.Log()
	if !r.Time.IsZero() {
		e.Str(slog.TimeKey, r.Time.UTC().Format(timeLayout))
	}
	e.Str(slog.LevelKey, levelName(r.Level))
	e.Str(slog.MessageKey, r.Message)
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		e.Str("trace_id", span.TraceID().String()).Str("span_id", span.SpanID().String())
	}
	addScope(e, h.scope, r)
	e.Send()
	return nil
}

// addScope writes scopes from the outermost to the innermost, which also gets the
// record's own attributes. It reports whether it wrote an attribute. A group without
// attributes is left out.
func addScope(e *zerolog.Event, scopes []scope, r slog.Record) bool {
	wrote := false
	for i, s := range scopes {
		if s.group != "" {
			inner := zerolog.Dict()
			if addScope(inner, scopes[i+1:], r) {
				e.Dict(s.group, inner)
				wrote = true
			}
			return wrote
		}
		wrote = addAttrs(e, s.attrs) || wrote
	}
	r.Attrs(func(a slog.Attr) bool {
		wrote = addAttr(e, a) || wrote
		return true
	})
	return wrote
}
