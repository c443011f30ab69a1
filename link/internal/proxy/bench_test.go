package proxy

import (
	"context"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/target"
)

// nowhere is an application that discards every answer.
type nowhere struct{ recorder }

func (w *nowhere) Head(int, http1.Header, int64) error { w.begun = true; return nil }
func (*nowhere) Write(p []byte) (int, error)           { return len(p), nil }

// The cost of a call in this package, without a network.
func BenchmarkProxy_ServeCall(b *testing.B) {
	for _, bm := range []struct {
		name   string
		fields []string
		tracer trace.Tracer
	}{
		{"plain", nil, nil},
		{"traceparent", []string{"traceparent", sampled, "tracestate", "a=b"}, nil},
		{"traced", []string{"traceparent", sampled, "tracestate", "a=b"}, sdk.NewTracerProvider().Tracer("bench")},
		{"traced, not sampled", nil, sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("bench")},
	} {
		b.Run(bm.name, func(b *testing.B) {
			to := newTargetOf(b, "", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
				return answer(200, "x"), nil
			})})
			p := Proxy{Guard: Guard{Loopback: true}, Target: only(to), Observe: func(CallRecord) {}, Tracer: bm.tracer}
			fields := append([]string{"Accept", "*/*", "User-Agent", "bench/1", "Accept-Encoding", "gzip"}, bm.fields...)
			b.ReportAllocs()
			for b.Loop() {
				p.ServeCall(b.Context(), &nowhere{}, request("GET", "/link/crm/api/v2/contacts", "", fields...))
			}
		})
	}
}
