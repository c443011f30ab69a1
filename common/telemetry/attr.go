package telemetry

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// addAttrs writes attributes, and reports whether it wrote any.
func addAttrs(e *zerolog.Event, attrs []slog.Attr) bool {
	wrote := false
	for _, a := range attrs {
		wrote = addAttr(e, a) || wrote
	}
	return wrote
}

// addAttr writes one attribute by slog's rules: empty attributes and groups are left
// out, and the attributes of a group without a key are written without a group.
func addAttr(e *zerolog.Event, a slog.Attr) bool {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return false
	}
	switch v := a.Value; v.Kind() {
	case slog.KindGroup:
		return addGroup(e, a.Key, v.Group())
	case slog.KindString:
		e.Str(a.Key, v.String())
	case slog.KindInt64:
		e.Int64(a.Key, v.Int64())
	case slog.KindUint64:
		e.Uint64(a.Key, v.Uint64())
	case slog.KindFloat64:
		e.Float64(a.Key, v.Float64())
	case slog.KindBool:
		e.Bool(a.Key, v.Bool())
	case slog.KindDuration:
		e.Str(a.Key, v.Duration().String())
	case slog.KindTime:
		e.Str(a.Key, v.Time().Format(time.RFC3339Nano))
	default:
		addAny(e, a.Key, v.Any())
	}
	return true
}

func addGroup(e *zerolog.Event, key string, attrs []slog.Attr) bool {
	if key == "" {
		return addAttrs(e, attrs)
	}
	inner := zerolog.Dict()
	if !addAttrs(inner, attrs) {
		return false
	}
	e.Dict(key, inner)
	return true
}

// addAny writes a value by its own text methods, or else as JSON. A panic of these must
// not end the process.
func addAny(e *zerolog.Event, key string, v any) {
	defer func() {
		if p := recover(); p != nil {
			e.Str(key, fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	var words string
	switch x := v.(type) {
	case error:
		words = x.Error()
	case json.Marshaler:
		addJSON(e, key, v)
		return
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			words = "!ERROR: " + err.Error()
		} else {
			words = string(text)
		}
	case fmt.Stringer:
		words = x.String()
	default:
		addJSON(e, key, v)
		return
	}
	e.Str(key, words)
}

func addJSON(e *zerolog.Event, key string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		e.Str(key, "!ERROR: "+err.Error())
		return
	}
	e.RawJSON(key, b)
}
