package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// failing is a transport that always fails.
func failing(reason http1.Reason, err error) trip {
	return func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		return nil, &http1.Error{Reason: reason, Sent: true, Err: err}
	}
}

// problemCase is a call that fiso-link itself answers.
type problemCase struct {
	settings string
	cred     target.Credential
	up       trip
	method   string
	path     string
	change   func(p *Proxy, to *target.Target, r *http1.Request)
	code     call.Code
	status   int
	after    string // Retry-After
}

func problems() map[string]problemCase {
	opened := func(_ *Proxy, to *target.Target, _ *http1.Request) {
		for range 5 {
			permit, _, _ := to.Breaker.Allow()
			permit.Done(1)
		}
	}
	breaking := func(err error) func(*Proxy, *target.Target, *http1.Request) {
		return func(_ *Proxy, _ *target.Target, r *http1.Request) {
			r.Body, r.Length = io.MultiReader(strings.NewReader("a"), &failingReader{err}), 5
		}
	}
	topic := "protocol: kafka\nkafka: {topic: t}"
	return map[string]problemCase{
		"host": {code: call.HostNotAllowed, status: 403, change: func(_ *Proxy, _ *target.Target, r *http1.Request) { r.Host = "evil.example" }},
		"origin": {code: call.OriginNotAllowed, status: 403, change: func(_ *Proxy, _ *target.Target, r *http1.Request) {
			r.Header.Add("Origin", "https://evil.example")
		}},
		"not below /link/":     {path: "/health", code: call.UnknownTarget, status: 404},
		"no such target":       {path: "/link/erp/canary-path", code: call.UnknownTarget, status: 404},
		"no target":            {path: "/link//canary-path", code: call.UnknownTarget, status: 404},
		"a target, escaped":    {path: "/link/%63rm/canary-path", code: call.UnknownTarget, status: 404},
		"path of two readings": {path: "/link/crm/canary-path/..%2fadmin", code: call.BadPath, status: 400},
		"path":                 {settings: "allowedPaths: [/a/*]", code: call.PathNotAllowed, status: 403},
		"method":               {settings: "allowedMethods: [POST]", code: call.MethodNotAllowed, status: 403},
		"TRACE":                {method: "TRACE", code: call.MethodNotAllowed, status: 403},
		"CONNECT":              {method: "CONNECT", code: call.MethodNotAllowed, status: 403},
		"trace":                {method: "trace", code: call.MethodNotAllowed, status: 403},
		"rate": {settings: "rateLimit: {requestsPerSecond: 0.1, burst: 1}", code: call.RateLimited, status: 429, after: "10",
			change: func(_ *Proxy, to *target.Target, _ *http1.Request) { to.Rate.Allow() }},
		"concurrency": {settings: "maxConcurrent: 1", code: call.TooManyCalls, status: 503, after: "1",
			change: func(_ *Proxy, to *target.Target, _ *http1.Request) { to.Concurrency.TryAcquire() }},
		"breaker":       {change: opened, code: call.CircuitOpen, status: 503, after: "30"},
		"no credential": {cred: &credential{apply: func(context.Context) error { return errors.New("canary-secret") }}, code: call.CredentialUnavailable, status: 502},
		"credential expired": {cred: &credential{apply: func(context.Context) error {
			return &target.CredentialError{Code: call.CredentialExpired, Err: errBroken}
		}}, code: call.CredentialExpired, status: 502},
		"connect":            {up: failing(http1.ReasonConnect, errBroken), code: call.ConnectFailed, status: 502},
		"reset":              {up: failing(http1.ReasonReset, errBroken), code: call.UpstreamReset, status: 502},
		"going away":         {up: failing(call.ReasonUnserved, errBroken), code: call.UpstreamReset, status: 502},
		"garbage":            {up: failing(http1.ReasonGarbage, errBroken), code: call.UpstreamGarbage, status: 502},
		"timeout":            {up: failing(http1.ReasonTimeout, errBroken), code: call.UpstreamTimeout, status: 504},
		"body":               {up: failing(http1.ReasonBody, errors.New("canary-body")), code: call.BadRequest, status: 400},
		"a body that breaks": {method: "POST", change: breaking(errors.New("canary-body")), code: call.BadRequest, status: 400},
		"a body too slow":    {method: "POST", change: breaking(os.ErrDeadlineExceeded), code: call.RequestTimeout, status: 408},
		"publish":            {settings: topic, code: call.AsyncUnavailable, status: 503},
		"publish says so itself": {settings: topic, code: call.BodyTooLarge, status: 413, change: func(p *Proxy, _ *target.Target, _ *http1.Request) {
			p.Publish = func(context.Context, http1.ResponseWriter, *Call) error {
				return Refuse(call.BodyTooLarge, "the body is larger than kafka.maxBodyBytes", 0)
			}
		}},
		"upgrade": {settings: "protocol: h2c", code: call.UpgradeRefused, status: 400, change: func(_ *Proxy, _ *target.Target, r *http1.Request) { r.Upgrade = "WebSocket" }},
		"panic":   {cred: &credential{apply: func(context.Context) error { panic("canary-secret") }}, code: call.Internal, status: 500},
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

func (test *problemCase) run(t *testing.T, fields ...string) (*recorder, CallRecord) {
	t.Helper()
	up, method, path := test.up, test.method, test.path
	if up == nil {
		up = always(200, "")
	}
	if method == "" {
		method = "GET"
	}
	if path == "" {
		path = "/link/crm/canary-path"
	}
	settings := test.settings
	if !strings.Contains(settings, "retry:") {
		settings += "\nretry: {maxAttempts: 1}"
	}
	to := newTargetOf(t, settings, target.Parts{Credential: test.cred, Transport: up})
	w := &recorder{}
	var record CallRecord
	p := Proxy{Guard: Guard{Loopback: true}, Target: only(to), Observe: func(r CallRecord) { record = r }}
	r := request(method, path+"?q=canary-query", "", append(fields, "X-A", "canary-header", "Authorization", "canary-auth")...)
	if test.change != nil {
		test.change(&p, to, r)
	}
	p.ServeCall(t.Context(), w, r)
	return w, record
}

// L10: https://github.com/hashicorp/go-retryablehttp/issues/206
func TestProblem_saysWhatIsWrongAndNothingOfTheRequest(t *testing.T) {
	for name, test := range problems() {
		t.Run(name, func(t *testing.T) {
			w, record := test.run(t)
			var p call.Problem
			if err := json.Unmarshal(w.body.Bytes(), &p); err != nil {
				t.Fatal(err, w.body.String())
			}
			if w.status != test.status || p.Status != test.status || record.Status != test.status {
				t.Errorf("status %d, in the body %d, recorded %d", w.status, p.Status, record.Status)
			}
			if p.Code != test.code || record.Code != test.code || w.header.Get("fiso-error") != string(test.code) {
				t.Errorf("code %q, recorded %q, in the header %q", p.Code, record.Code, w.header.Get("fiso-error"))
			}
			if w.header.Get("Content-Type") != "application/problem+json" || w.header.Get("Retry-After") != test.after || p.Detail == "" || !w.ended {
				t.Errorf("%v %+v", w.header, p)
			}
			if p.Target != record.Target || record.Target != "" && record.Target != "crm" {
				t.Errorf("target %q, recorded %q", p.Target, record.Target)
			}
			if all := w.body.String() + record.Stack; strings.Contains(all, "canary") || strings.Contains(all, "evil") || strings.Contains(all, "erp") {
				t.Errorf("it quotes the request: %s", all)
			}
			if (record.Stack != "") != (test.code == call.Internal) || record.Stack != "" && !strings.Contains(record.Stack, "attempt") {
				t.Errorf("stack %q", record.Stack)
			}
		})
	}
}

func TestProblem_hasAFormThatCallersOfGRPCUnderstand(t *testing.T) {
	statuses := map[int]string{400: "3", 403: "7", 404: "12", 408: "4", 413: "8", 429: "8", 500: "13", 502: "14", 503: "14", 504: "4"}
	for name, test := range problems() {
		t.Run(name, func(t *testing.T) {
			w, record := test.run(t, "Content-Type", "application/grpc+proto")
			h := w.header
			if w.status != 200 || h.Get("Content-Type") != "application/grpc" || h.Get("grpc-status") != statuses[test.status] || w.body.Len() > 0 || !w.ended {
				t.Errorf("%d %v %q", w.status, h, w.body.String())
			}
			if !strings.HasPrefix(h.Get("grpc-message"), string(test.code)+": ") || h.Get("fiso-error") != string(test.code) || record.Code != test.code {
				t.Errorf("%v %v", h, record)
			}
			if h.Get("Retry-After") != test.after {
				t.Error(h)
			}
		})
	}
}

func TestPercentEncode_keepsPrintableASCII(t *testing.T) {
	if got := percentEncode("a ~%\n\u00fc"); got != "a ~%25%0A%C3%BC" {
		t.Error(got)
	}
}

// Without a gRPC status for it, an HTTP status would be read as success.
func TestProblem_everyStatusHasACodeOfGRPC(t *testing.T) {
	for _, code := range []call.Code{
		call.BadRequest, call.BadPath, call.HostNotAllowed, call.OriginNotAllowed, call.PathNotAllowed, call.MethodNotAllowed, call.UnknownTarget,
		call.RequestTimeout, call.BodyTooLarge, call.HeaderTooLarge, call.RateLimited, call.TooManyCalls, call.CircuitOpen, call.CredentialUnavailable,
		call.CredentialExpired, call.ConnectFailed, call.UpstreamReset, call.UpstreamGarbage, call.UpstreamTimeout, call.AsyncUnavailable,
		call.UpgradeRefused, call.Internal, "UNHEARD_OF",
	} {
		if grpcCodes[code.Status()] == 0 {
			t.Errorf("%s (%d) has none", code, code.Status())
		}
	}
}

func TestProblem_isNotWrittenToAnApplicationThatIsGone(t *testing.T) {
	for _, kind := range []string{"", "application/grpc"} {
		w := &recorder{fail: errBroken}
		record := serveTo(t.Context(), newTargetOf(t, "", target.Parts{}), w, request("GET", "/link/erp/", "", "Content-Type", kind))
		if w.ended || w.body.Len() > 0 || record.Code != call.UnknownTarget {
			t.Error(w, record)
		}
	}
}

func TestProblem_doesNotFollowAnAnswerThatHasBegun(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code call.Code
		want int
	}{
		"reset":   {&http1.Error{Reason: http1.ReasonReset, Err: errBroken}, call.UpstreamReset, 200},
		"timeout": {&http1.Error{Reason: http1.ReasonTimeout, Err: errBroken}, call.UpstreamTimeout, 200},
		"gone":    {&http1.Error{Reason: http1.ReasonGone, Err: errBroken}, "", 499},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := answer(200, "")
				a.Body, a.Length = io.NopCloser(io.MultiReader(strings.NewReader("half"), &failingReader{test.err})), 8
				to := newTargetOf(t, "", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
					time.Sleep(time.Second) // the target takes that time, not the application
					return a, nil
				})})
				w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				if w.ended || w.body.String() != "half" || record.Code != test.code || record.Status != test.want {
					t.Error(w.ended, w.body.String(), record)
				}
			})
		})
	}
}

// Publish and Defer may fail after the answer has begun.
func TestProblem_ofAnAnswerBegunElsewhereIsOnlyRecorded(t *testing.T) {
	to := newTargetOf(t, "protocol: kafka\nkafka: {topic: t}", target.Parts{})
	var record CallRecord
	p := Proxy{Target: only(to), Observe: func(r CallRecord) { record = r }, Publish: func(_ context.Context, w http1.ResponseWriter, _ *Call) error {
		_ = w.Head(202, nil, 5)
		panic("canary")
	}}
	w := &recorder{}
	p.ServeCall(t.Context(), w, request("POST", "/link/crm/", ""))
	if w.ended || w.status != 202 || record.Code != call.Internal || record.Status != 500 || record.Mode != "publish" {
		t.Error(w, record)
	}
}
