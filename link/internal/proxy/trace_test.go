package proxy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "b7ad6b7169203331"
	sampled = "00-" + aTrace + "-" + aParent + "-01"
)

// traced makes one call under a recorder of spans.
func traced(t *testing.T, settings string, parts target.Parts, r *http1.Request) (spans []sdk.ReadOnlySpan, w *recorder, record CallRecord) {
	t.Helper()
	seen := tracetest.NewSpanRecorder()
	to := newTargetOf(t, settings, parts)
	w = &recorder{}
	p := Proxy{
		Guard: Guard{Loopback: true}, Target: only(to), Observe: func(r CallRecord) { record = r },
		Tracer: sdk.NewTracerProvider(sdk.WithSpanProcessor(seen)).Tracer("test"),
	}
	p.ServeCall(t.Context(), w, r)
	if n := len(seen.Started()); n != len(seen.Ended()) {
		t.Errorf("%d spans began and %d ended", n, len(seen.Ended()))
	}
	return seen.Ended(), w, record
}

// shown returns everything that a span shows, on one line.
func shown(s sdk.ReadOnlySpan) string {
	attrs := s.Attributes()
	slices.SortFunc(attrs, func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
	words := []string{s.SpanKind().String(), s.Name() + ":"}
	for _, a := range attrs {
		words = append(words, fmt.Sprintf("%s=%s", a.Key, a.Value.String()))
	}
	if s.Status().Code == codes.Error {
		words = append(words, strings.TrimSpace("ERROR "+s.Status().Description))
	}
	return strings.Join(words, " ")
}

func TestTrace_hasASpanOfTheCallAndOneOfEachAttempt(t *testing.T) {
	var carried []string
	n := 0
	up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		carried = append(carried, out.Header.Get("traceparent")+" "+out.Header.Get("tracestate"))
		if n++; n == 1 {
			return answer(503, "busy"), nil
		}
		return answer(200, "x"), nil
	})
	// L5: Connection does not remove trace context.
	spans, w, record := traced(t, "", target.Parts{Transport: up}, request("GET", "/link/crm/a?b=c", "",
		"Traceparent", sampled, "Tracestate", "a=b", "tracestate", "c=d", "Connection", "traceparent, tracestate"))
	if w.status != 200 || len(spans) != 3 {
		t.Fatal(w.status, len(spans))
	}
	const client = " fiso.target=crm http.request.method=GET "
	const to = "network.peer.address=10.0.0.1 network.peer.port=80 network.protocol.version=1.1 server.address=crm.example server.port=80"
	for i, want := range []string{
		"client GET: error.type=503" + client + "http.response.status_code=503 " + to + " ERROR",
		"client GET:" + client + "http.request.resend_count=1 http.response.status_code=200 " + to,
		"server GET /link/crm: fiso.attempts=2 fiso.mode=sync fiso.target=crm http.request.method=GET http.response.status_code=200 http.route=/link/crm network.protocol.version=1.1 url.scheme=http",
	} {
		if got := shown(spans[i]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	server := spans[2]
	if p := server.Parent(); p.TraceID().String() != aTrace || p.SpanID().String() != aParent || !p.IsRemote() {
		t.Errorf("the call's parent is %v", p)
	}
	for i, c := range carried {
		s := spans[i]
		if want := "00-" + aTrace + "-" + s.SpanContext().SpanID().String() + "-01 a=b,c=d"; c != want || s.Parent().SpanID() != server.SpanContext().SpanID() {
			t.Errorf("attempt %d carries %q, want %q", i+1, c, want)
		}
	}
	if want := "00-" + aTrace + "-" + server.SpanContext().SpanID().String() + "-01"; record.Traceparent != want {
		t.Errorf("the record is of %s, want %s", record.Traceparent, want)
	}
}

func TestTrace_beginsAnewWhereTheApplicationsIsNone(t *testing.T) {
	for name, fields := range map[string][]string{
		"none":      nil,
		"malformed": {"traceparent", "00-canary-1-01", "tracestate", "a=b"},
		"zero":      {"traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"},
		"several":   {"traceparent", sampled, "Traceparent", sampled},
	} {
		t.Run(name, func(t *testing.T) {
			var sent http1.Header
			up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				sent = out.Header
				return answer(200, ""), nil
			})
			spans, _, _ := traced(t, "", target.Parts{Transport: up}, request("GET", "/link/crm/", "", fields...))
			parent := spans[0].SpanContext()
			if spans[1].Parent().IsValid() || len(sent) != 1 || sent[0].Value != "00-"+parent.TraceID().String()+"-"+parent.SpanID().String()+"-01" {
				t.Errorf("sent %v under %v", sent, spans[1].Parent())
			}
		})
	}
}

func TestTrace_isKeptFromATargetByARule(t *testing.T) {
	for settings, want := range map[string]string{
		"headers: {remove: [Traceparent]}":      "",
		"headers: {remove: [tracestate]}":       "traceparent",
		"headers: {set: {traceparent: theirs}}": "traceparent=theirs",
	} {
		t.Run(settings, func(t *testing.T) {
			var sent []string
			up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				for _, f := range out.Header {
					if f.Value == "theirs" {
						f.Name += "=theirs"
					}
					sent = append(sent, f.Name)
				}
				return answer(200, ""), nil
			})
			traced(t, settings, target.Parts{Transport: up}, request("GET", "/link/crm/", "", "traceparent", sampled, "tracestate", "a=b"))
			if got := strings.Join(sent, " "); got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

// A span's error type is a code of fiso-link, or a status.
func TestTrace_saysWhyACallFailed(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		parts    target.Parts
		request  *http1.Request
		client   string // expected parts of the attempt's span; "": no span
		server   string
	}{
		"refused path":       {"allowedPaths: [/ok]", target.Parts{}, request("GET", "/link/crm/no", ""), "", "error.type=PATH_NOT_ALLOWED fiso.attempts=0 fiso.mode=sync fiso.target=crm http.request.method=GET http.response.status_code=403"},
		"no target":          {"", target.Parts{}, request("X-CANARY", "/link/canary/", ""), "", "server HTTP: error.type=UNKNOWN_TARGET fiso.attempts=0 fiso.mode=sync http.request.method=_OTHER http.response.status_code=404"},
		"another method":     {"", target.Parts{Transport: always(200, "")}, request("X-CANARY", "/link/crm/", ""), "client HTTP:", "server HTTP /link/crm:"},
		"unreachable":        {"retry: {maxAttempts: 1}", target.Parts{Transport: failing(http1.ReasonConnect, errBroken)}, request("GET", "/link/crm/", ""), "error.type=CONNECT_FAILED|ERROR the target cannot be reached", "error.type=CONNECT_FAILED|http.response.status_code=502|ERROR"},
		"late":               {"retry: {maxAttempts: 1}", target.Parts{Transport: failing(http1.ReasonTimeout, errBroken)}, request("GET", "/link/crm/", ""), "error.type=UPSTREAM_TIMEOUT|ERROR", "error.type=UPSTREAM_TIMEOUT|ERROR"},
		"no address":         {"retry: {maxAttempts: 1}", target.Parts{Endpoints: unknown{}}, request("GET", "/link/crm/", ""), "error.type=CONNECT_FAILED", "error.type=CONNECT_FAILED"},
		"a name, no address": {"", target.Parts{Endpoints: one("crm.example:80"), Transport: always(204, "")}, request("GET", "/link/crm/", ""), "network.protocol.version=1.1 server.address=crm.example", "http.response.status_code=204"},
		"no credential": {"", target.Parts{Credential: &credential{apply: func(context.Context) error {
			return &target.CredentialError{Code: call.CredentialExpired, Err: errBroken}
		}}}, request("GET", "/link/crm/", ""), "error.type=CREDENTIAL_EXPIRED|ERROR broken", "error.type=CREDENTIAL_EXPIRED"},
		"the caller left": {"", target.Parts{Transport: failing(http1.ReasonGone, errBroken)}, request("GET", "/link/crm/", ""), "error.type=CALLER_GONE", "error.type=CALLER_GONE"},
		"panic": {"", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			panic("canary")
		})}, request("GET", "/link/crm/", ""), "error.type=INTERNAL|ERROR", "error.type=INTERNAL|ERROR"},
		"the target's own": {"retry: {maxAttempts: 1}", target.Parts{Transport: always(500, "canary")}, request("GET", "/link/crm/", ""), "error.type=500|ERROR", "error.type=500|ERROR"},
		"the caller's own": {"", target.Parts{Transport: always(404, "")}, request("GET", "/link/crm/", ""), "error.type=404|ERROR", "server GET /link/crm: fiso.attempts=1"},
		"broken off": {"", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			a := answer(200, "")
			a.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), &failingReader{errBroken}))
			return a, nil
		})}, request("GET", "/link/crm/", ""), "error.type=UPSTREAM_RESET|http.response.status_code=200|ERROR", "error.type=UPSTREAM_RESET|http.response.status_code=200|ERROR"},
		"over HTTP/2": {"protocol: h2c", target.Parts{Transport: always(200, "")}, request("GET", "/link/crm/", ""), "network.protocol.version=2", "network.protocol.version=1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			spans, _, _ := traced(t, test.settings, test.parts, test.request)
			all := ""
			for i, want := range []string{test.client, test.server} {
				if i == 0 && want == "" {
					continue
				}
				if len(spans) == 0 {
					t.Fatal("a span is missing")
				}
				got := shown(spans[0])
				spans, all = spans[1:], all+got
				for part := range strings.SplitSeq(want, "|") {
					if !strings.Contains(got, part) {
						t.Errorf("%s\nlacks %s", got, part)
					}
				}
			}
			if len(spans) > 0 || strings.Contains(all, "canary") || strings.Contains(all, "CANARY") {
				t.Errorf("%d spans more, of %s", len(spans), all)
			}
		})
	}
}

// A 401 that renews the credential is not counted as an attempt, but has a span, and
// the next span is marked as a resend.
func TestTrace_showsTheAttemptThatRenewedTheCredential(t *testing.T) {
	up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		if out.Header.Get("Authorization") == "Bearer 0" {
			return answer(401, ""), nil
		}
		return answer(201, ""), nil
	})
	spans, _, _ := traced(t, "", target.Parts{Transport: up, Credential: &numbered{}}, request("POST", "/link/crm/", "x"))
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, want := range []string{"error.type=401", "http.request.resend_count=1", "fiso.attempts=1"} {
		if got := shown(spans[i]); !strings.Contains(got, want) || strings.Contains(got, "Bearer") {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
}

// unknown is an Endpoints without addresses.
type unknown struct{ one }

func (unknown) Pick(context.Context, []string) (string, func(resilience.Outcome), error) {
	return "", nil, errBroken
}

func TestTrace_ofAnUnsampledCallGoesOn(t *testing.T) {
	var carried string
	to := newTargetOf(t, "", target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		carried = out.Header.Get("traceparent")
		return answer(200, ""), nil
	})})
	seen := tracetest.NewSpanRecorder()
	p := Proxy{Target: only(to), Tracer: sdk.NewTracerProvider(sdk.WithSpanProcessor(seen)).Tracer("test")} // parent-based sampling
	p.ServeCall(t.Context(), &recorder{}, request("GET", "/link/crm/", "", "traceparent", "00-"+aTrace+"-"+aParent+"-00"))
	if !strings.HasPrefix(carried, "00-"+aTrace+"-") || !strings.HasSuffix(carried, "-00") || strings.Contains(carried, aParent) || len(seen.Ended()) != 0 {
		t.Errorf("carried %q, %d spans", carried, len(seen.Ended()))
	}
}

// A stored call carries its trace context.
func TestCall_hasATraceForTheEventThatItBecomes(t *testing.T) {
	for name, on := range map[string]bool{"without traces": false, "with": true} {
		t.Run(name, func(t *testing.T) {
			var parent, state, inContext string
			p := Proxy{
				Target: only(newTargetOf(t, "async: {topic: calls}", target.Parts{})),
				Defer: func(ctx context.Context, _ http1.ResponseWriter, c *Call) error {
					parent, state = c.Trace()
					inContext = trace.SpanContextFromContext(ctx).SpanID().String()
					return nil
				},
			}
			if on {
				p.Tracer = sdk.NewTracerProvider().Tracer("test")
			}
			p.ServeCall(t.Context(), &recorder{}, request("POST", "/link/crm/", "", "Prefer", "respond-async", "traceparent", sampled, "tracestate", "a=b"))
			want := sampled
			if on {
				want = "00-" + aTrace + "-" + inContext + "-01"
			}
			if parent != want || state != "a=b" {
				t.Errorf("got %q, %q, want %q", parent, state, want)
			}
		})
	}
}

func TestTrace_costsNothingWithoutATracer(t *testing.T) {
	c := &Call{Request: request("GET", "/link/crm/", "", "traceparent", sampled, "tracestate", "a=b")}
	m := attempts{c: c}
	p := Proxy{}
	if n := testing.AllocsPerRun(100, func() {
		ctx := m.beginSpan(p.begin(t.Context(), c), nil)
		m.tracePeer("10.0.0.1:80")
		m.endHead(ctx, nil, nil)
		m.failed(errBroken)
		m.endSpan()
		c.end()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
