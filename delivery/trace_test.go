package delivery

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "00-" + aTrace + "-b7ad6b7169203331-01"
)

// spanLogger adds the trace id of the context to each line.
type spanLogger struct{ slog.Handler }

func (h spanLogger) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String("trace", trace.SpanContextFromContext(ctx).TraceID().String()))
	return h.Handler.Handle(ctx, r)
}

func TestTrace_goesFromTheRecordToTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
		var log bytes.Buffer
		shared := []cloudevent.Extension{{Name: "tenant", Value: "eu"}, {Name: nameParent, Value: aParent}, {Name: nameState, Value: "v=1"}}
		var sent [][]cloudevent.Extension
		r := start(t, Config{Name: "orders", Tracer: tracer, Logger: slog.New(spanLogger{slog.NewTextHandler(&log, nil)})}, testVersion{
			MaxRetries: 1, SinkName: "api",
			Transformer: transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
				pass(time.Second)
				ev, err := asIs(ctx, m)
				ev.Extensions = shared
				return ev, err
			}),
			Sink: sinkFunc(func(ctx context.Context, ev *cloudevent.Event) error {
				sent = append(sent, ev.Extensions)
				if trace.SpanContextFromContext(ctx).TraceID().String() != aTrace {
					t.Error("the sink's context is not of the trace")
				}
				return errBoom
			}),
		})
		m := r.give(r.ctx, "k")
		after(time.Minute)
		r.want(m, nil)

		ended := spans.Ended()
		if len(ended) != 3 {
			t.Fatalf("%d spans, want two sends and the event's", len(ended))
		}
		event := ended[2]
		if event.Name() != "process t" || event.SpanKind() != trace.SpanKindConsumer || event.Parent().TraceID().String() != aTrace || event.Parent().SpanID().String() != "b7ad6b7169203331" {
			t.Errorf("event span %s of kind %s under %s", event.Name(), event.SpanKind(), event.Parent().SpanID())
		}
		if took := event.EndTime().Sub(event.StartTime()); took != 2*time.Second {
			t.Errorf("the event's span took %s, want transform and retry", took)
		}
		wantAttr(t, event, "messaging.message.id", m)
		wantAttr(t, event, "messaging.destination.partition.id", "0")
		wantAttr(t, event, "fiso.status", "dead_lettered")
		wantAttr(t, event, "error.type", "SINK_DELIVERY_FAILED")
		for i, send := range ended[:2] {
			if send.Name() != "send api" || send.SpanKind() != trace.SpanKindClient || send.Parent().SpanID() != event.SpanContext().SpanID() || send.Status().Code != codes.Error {
				t.Errorf("send span %s of kind %s, status %v", send.Name(), send.SpanKind(), send.Status())
			}
			want := []cloudevent.Extension{{Name: "tenant", Value: "eu"}, {Name: nameParent, Value: "00-" + aTrace + "-" + send.SpanContext().SpanID().String() + "-01"}, {Name: nameState, Value: "v=1"}}
			for j := range want {
				if sent[i][j] != want[j] {
					t.Errorf("send %d carried %v, want %v", i, sent[i], want)
				}
			}
		}
		if shared[1].Value != aParent {
			t.Error("the slice that the transformer keeps was changed")
		}
		if !strings.Contains(log.String(), "trace="+aTrace) {
			t.Errorf("the log does not name the trace: %s", log.String())
		}
	})
}

func wantAttr(t *testing.T, s sdk.ReadOnlySpan, key, want string) {
	t.Helper()
	for _, a := range s.Attributes() {
		if a.Key == attribute.Key(key) {
			if a.Value.AsString() != want {
				t.Errorf("%s is %q, want %q", key, a.Value.AsString(), want)
			}
			return
		}
	}
	t.Errorf("no attribute %s in %v", key, s.Attributes())
}

func TestTrace_ofAMalformedMessageComesFromItsHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
		r := start(t, Config{Tracer: tracer}, testVersion{Transformer: transformFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) { return nil, errBoom })})
		m := r.message("k")
		m.Headers = []connector.Header{{Key: nameParent, Value: []byte(aParent)}}
		m.Position.Offset = -1
		r.handOver(r.ctx, m)
		synctest.Wait()
		if e := spans.Ended(); len(e) != 1 || e[0].SpanContext().TraceID().String() != aTrace {
			t.Errorf("spans %v", e)
		}
	})
}

func TestTrace_eachEventOfABatchHasItsSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
		parents := map[string]bool{}
		r := start(t, Config{Tracer: tracer}, testVersion{Batch: &Batch{MaxEvents: 2}, Sink: batchFunc(func(_ context.Context, evs []*cloudevent.Event) []error {
			for _, ev := range evs {
				p, _ := ev.Extension(nameParent)
				parents[p] = true
			}
			return nil
		})})
		r.give(r.ctx, "a")
		r.give(r.ctx, "b")
		after(time.Second)
		if len(spans.Ended()) != 4 || len(parents) != 2 || parents[""] {
			t.Errorf("%d spans ended, want 4; the events carried %v", len(spans.Ended()), parents)
		}
	})
}

func TestTraceContext_isACarrier(t *testing.T) {
	c := &traceContext{}
	for _, name := range c.Keys() {
		c.Set(name, name+"!")
		if c.Get(name) != name+"!" {
			t.Errorf("%s is %q", name, c.Get(name))
		}
	}
	c.Set("baggage", "x")
	if c.Get("baggage") != "" {
		t.Error("it carries what it should not")
	}
}
