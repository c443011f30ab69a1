package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"go.opentelemetry.io/otel/trace"
)

func TestParseLevel_knowsFourNamesAndSaysWhich(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "": slog.LevelInfo, "warn": slog.LevelWarn, "ERROR": slog.LevelError,
	} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", name, got, err, want)
		}
	}
	const want = `log level "verbose" is not known: use debug, info, warn or error`
	if _, err := ParseLevel("verbose"); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestLogger_keepsTheRulesOfSlog(t *testing.T) {
	var b bytes.Buffer
	log := Logger(&b, slog.LevelDebug, false)
	err := slogtest.TestHandler(log.Handler(), func() []map[string]any {
		var records []map[string]any
		for line := range strings.Lines(b.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			records = append(records, m)
		}
		return records
	})
	if err != nil {
		t.Error(err)
	}
}

// secret is a value that prints as ***.
type secret struct{ Value string }

func (secret) String() string { return "***" }

type textual struct{ err error }

func (x textual) MarshalText() ([]byte, error) { return []byte("text"), x.err }

type lazy struct{}

func (lazy) LogValue() slog.Value { return slog.GroupValue(slog.Int("a", 1)) }

type bad struct{}

func (*bad) Error() string { panic("boom") }

// fields logs one record and returns its fields without the time.
func fields(t *testing.T, log func(*slog.Logger)) string {
	t.Helper()
	var b bytes.Buffer
	log(Logger(&b, slog.LevelDebug, false))
	head, rest, ok := strings.Cut(b.String(), `Z",`)
	if !ok || !strings.HasPrefix(head, `{"time":"`) || len(head) != len(`{"time":"2026-01-31T12:00:00.000`) {
		t.Fatalf("the record begins without a time of its width: %s", b.String())
	}
	return strings.TrimSuffix(rest, "}\n")
}

func TestLogger_writesEachKindOfValue(t *testing.T) {
	for _, tc := range []struct {
		name string
		attr slog.Attr
		want string
	}{
		{"text", slog.String("k", "a\"\n"), `"k":"a\"\n"`},
		{"int", slog.Int64("k", math.MinInt64), `"k":-9223372036854775808`},
		{"uint", slog.Uint64("k", math.MaxUint64), `"k":18446744073709551615`},
		{"float", slog.Float64("k", 1.5), `"k":1.5`},
		{"no number", slog.Float64("k", math.NaN()), `"k":"NaN"`},
		{"bool", slog.Bool("k", true), `"k":true`},
		{"duration", slog.Duration("k", 1500*time.Millisecond), `"k":"1.5s"`},
		{"time", slog.Time("k", time.Date(2026, 1, 31, 12, 0, 0, 5, time.UTC)), `"k":"2026-01-31T12:00:00.000000005Z"`},
		{"error", slog.Any("k", errors.New("no")), `"k":"no"`},
		{"secret", slog.Any("k", secret{"hunter2"}), `"k":"***"`},
		{"marshaler", slog.Any("k", json.RawMessage(`{"a":[1]}`)), `"k":{"a":[1]}`},
		{"broken marshaler", slog.Any("k", json.RawMessage(`{`)), `"k":"!ERROR: json: error calling MarshalJSON for type json.RawMessage: unexpected end of JSON input"`},
		{"text marshaler", slog.Any("k", textual{}), `"k":"text"`},
		{"broken text marshaler", slog.Any("k", textual{errors.New("no")}), `"k":"!ERROR: no"`},
		{"struct", slog.Any("k", struct{ A int }{1}), `"k":{"A":1}`},
		{"list", slog.Any("k", []string{"a"}), `"k":["a"]`},
		{"nil", slog.Any("k", nil), `"k":null`},
		{"channel", slog.Any("k", make(chan int)), `"k":"!ERROR: json: unsupported type: chan int"`},
		{"panics", slog.Any("k", &bad{}), `"k":"!PANIC: boom"`},
		{"group", slog.Group("k", "a", 1, "b", slog.GroupValue(slog.Int("c", 2))), `"k":{"a":1,"b":{"c":2}}`},
		{"log valuer", slog.Any("k", lazy{}), `"k":{"a":1}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := fields(t, func(l *slog.Logger) { l.Warn("m", tc.attr) })
			if want := `"level":"warn","msg":"m",` + tc.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestLogger_nestsGroupsAndLeavesEmptyOnesOut(t *testing.T) {
	for _, tc := range []struct {
		log  func(*slog.Logger)
		want string
	}{
		{func(l *slog.Logger) { l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").Info("m", "c", 3) }, `"a":1,"g":{"b":2,"h":{"c":3}}`},
		{func(l *slog.Logger) { l.WithGroup("g").WithGroup("h").Info("m") }, ``},
		{func(l *slog.Logger) { l.With("a", 1).WithGroup("g").Info("m") }, `"a":1`},
		{func(l *slog.Logger) { l.WithGroup("").With().Info("m", "a", 1) }, `"a":1`},
		{func(l *slog.Logger) { l.Info("m", slog.Group("g", slog.Group("h")), slog.Group("", slog.Int("a", 1))) }, `"a":1`},
	} {
		got := fields(t, tc.log)
		want := strings.TrimSuffix(`"level":"info","msg":"m",`+tc.want, ",")
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestLogger_twoChildrenOfOneLoggerDoNotMix(t *testing.T) {
	var b bytes.Buffer
	parent := Logger(&b, slog.LevelInfo, false).With("a", 1).With("b", 2).With("c", 3)
	one, two := parent.With("child", 1), parent.With("child", 2)
	one.Info("m")
	two.Info("m")
	if got := b.String(); strings.Count(got, `"child":1`) != 1 || strings.Count(got, `"child":2`) != 1 {
		t.Error(got)
	}
}

func TestLogger_followsItsLevel(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	log := Logger(&b, &level, false)
	log.Info("hidden")
	log.Error("error")
	level.Set(slog.LevelDebug)
	log.Debug("debug")
	log.Log(t.Context(), slog.LevelInfo+1, "between")
	for _, want := range []string{`"level":"error","msg":"error"`, `"level":"debug","msg":"debug"`, `"level":"info","msg":"between"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in %s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "hidden") {
		t.Errorf("a record below the level was written: %s", b.String())
	}
}

func spanContext(t *testing.T) context.Context {
	t.Helper()
	return Extract(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
}

func TestLogger_addsTheTraceOfItsContext(t *testing.T) {
	ctx := spanContext(t)
	got := fields(t, func(l *slog.Logger) { l.WithGroup("g").InfoContext(ctx, "m", "a", 1) })
	want := `"level":"info","msg":"m","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","g":{"a":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLogger_writesWholeLinesFromManyGoroutines(t *testing.T) {
	var b bytes.Buffer // not safe by itself: the race detector looks on
	log := Logger(&b, slog.LevelInfo, false)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				log.Info("m", "a", strings.Repeat("x", 100))
			}
		})
	}
	wait.Wait()
	n := 0
	for line := range strings.Lines(b.String()) {
		n++
		if !json.Valid([]byte(line)) {
			t.Fatalf("not a whole line: %s", line)
		}
	}
	if n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
}

func TestLogger_isReadableOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var b bytes.Buffer
	Logger(&b, slog.LevelInfo, true).With("flow", "orders").Warn("sink is away", "retry", 3, "error", errors.New("no route"))
	got := b.String()
	if _, err := time.Parse("15:04:05.000", strings.Fields(got)[0]); err != nil {
		t.Errorf("the line does not begin with a time: %s", got)
	}
	_, rest, _ := strings.Cut(got, " ")
	if want := "WRN sink is away error=\"no route\" flow=orders retry=3\n"; rest != want {
		t.Errorf("got  %q\nwant %q", rest, want)
	}
}

func TestLogger_consoleTakesRecordsWithoutTime(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var b bytes.Buffer
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "no time", 0)
	if err := Logger(&b, slog.LevelInfo, true).Handler().Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "INF no time\n") {
		t.Errorf("got %q", b.String())
	}
}

func TestTerminal_isFalseForAFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a temporary file
	if Terminal(f) {
		t.Error("a file is taken for a terminal")
	}
}

func TestExtract_andInjectKeepTheW3CHeaders(t *testing.T) {
	ctx := spanContext(t)
	if span := trace.SpanContextFromContext(ctx); !span.IsRemote() || !span.IsSampled() || span.TraceState().Get("vendor") != "1" {
		t.Errorf("extracted %+v", span)
	}
	parent, state := Inject(ctx)
	if parent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" || state != "vendor=1" {
		t.Errorf("injected %q, %q", parent, state)
	}
	for _, parent := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		if ctx := Extract(t.Context(), parent, "vendor=1"); trace.SpanContextFromContext(ctx).IsValid() {
			t.Errorf("%q names a span", parent)
		}
	}
	if parent, state := Inject(t.Context()); parent != "" || state != "" {
		t.Errorf("injected %q, %q without a span", parent, state)
	}
	h := headers{}
	h.Set("baggage", "x")
	if h != (headers{}) || h.Get("baggage") != "" || len(h.Keys()) != 2 {
		t.Errorf("another header was kept: %+v", h)
	}
}
