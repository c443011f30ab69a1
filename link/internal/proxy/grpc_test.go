package proxy

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// grpcRequest returns a call as gRPC clients make it.
func grpcRequest(path string, fields ...string) *http1.Request {
	r := request("POST", path, "", append([]string{"Content-Type", "application/grpc", "TE", "trailers"}, fields...)...)
	r.HTTP2 = true
	return r
}

// A gRPC client cannot put /link/{target} before its paths, and names the target in its
// metadata. The same rules hold as for any call.
func TestGRPC_namesItsTargetInMetadata(t *testing.T) {
	for name, test := range map[string]struct {
		r    *http1.Request
		path string // as the target receives it; "": it receives nothing
		code call.Code
	}{
		"named":                    {grpcRequest("/pkg.Service/Get", "fiso-target", "crm"), "/pkg.Service/Get", ""},
		"the name in other case":   {grpcRequest("/pkg.Service/Get", "Fiso-Target", "crm"), "/pkg.Service/Get", ""},
		"by prefix":                {grpcRequest("/link/crm/pkg.Service/Get"), "/pkg.Service/Get", ""},
		"by prefix, which decides": {grpcRequest("/link/crm/pkg.Service/Get", "fiso-target", "erp"), "/pkg.Service/Get", ""},
		"not named":                {grpcRequest("/pkg.Service/Get"), "", call.UnknownTarget},
		"another":                  {grpcRequest("/pkg.Service/Get", "fiso-target", "erp"), "", call.UnknownTarget},
		"twice":                    {grpcRequest("/pkg.Service/Get", "fiso-target", "crm", "fiso-target", "crm"), "", call.UnknownTarget},
		"not in allowedPaths":      {grpcRequest("/pkg.Other/Get", "fiso-target", "crm"), "", call.PathNotAllowed},
		"climbing":                 {grpcRequest("/pkg.Service/%2e%2e/pkg.Other/Get", "fiso-target", "crm"), "", call.BadPath},
		"from elsewhere":           {foreign(grpcRequest("/pkg.Service/Get", "fiso-target", "crm")), "", call.HostNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			var seen *http1.Outgoing
			to := newTargetOf(t, "protocol: grpc\nallowedPaths: [/pkg.Service/*]", target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				seen = out
				return answer(200, ""), nil
			})})
			_, record := makeCall(t.Context(), to, test.r)
			if record.Code != test.code || (seen != nil) != (test.path != "") {
				t.Fatalf("code %q, sent %v", record.Code, seen != nil)
			}
			if seen != nil && (seen.Path != test.path || name != "by prefix, which decides" && seen.Header.Has(TargetField) || seen.Header.Get("TE") != "trailers") {
				t.Errorf("the target saw %s %v", seen.Path, seen.Header)
			}
		})
	}
}

func foreign(r *http1.Request) *http1.Request {
	r.Host = "evil.example"
	return r
}

// L8: a call that is not gRPC is not routed by a field of its header
// (https://github.com/oauth2-proxy/oauth2-proxy/issues/3506).
func TestGRPC_theFieldDecidesNothingElse(t *testing.T) {
	for name, change := range map[string]func(r *http1.Request){
		"HTTP/1.1":          func(r *http1.Request) { r.HTTP2 = false },
		"GET":               func(r *http1.Request) { r.Method = "GET" },
		"JSON":              func(r *http1.Request) { r.Header.Set("Content-Type", "application/json") },
		"gRPC-Web":          func(r *http1.Request) { r.Header.Set("Content-Type", "application/grpc-web+proto") },
		"without a type":    func(r *http1.Request) { r.Header.Del("Content-Type") },
		"a type like it":    func(r *http1.Request) { r.Header.Set("Content-Type", "application/grpcx") },
		"two types, not it": func(r *http1.Request) { r.Header = append(header("Content-Type", "text/plain"), r.Header...) },
	} {
		t.Run(name, func(t *testing.T) {
			r := grpcRequest("/pkg.Service/Get", "fiso-target", "crm")
			change(r)
			to := newTargetOf(t, "protocol: grpc", target.Parts{Transport: always(200, "")})
			if _, record := makeCall(t.Context(), to, r); record.Code != call.UnknownTarget {
				t.Errorf("%+v", record)
			}
		})
	}
	var seen http1.Header
	to := newTargetOf(t, "", target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		seen = out.Header
		return answer(200, ""), nil
	})})
	makeCall(t.Context(), to, request("GET", "/link/crm/", "", "fiso-target", "x"))
	if seen.Get("fiso-target") != "x" {
		t.Error("a field that decides nothing does not go on:", seen)
	}
}

// A gRPC call may have its head with its end, and has its own deadline.
func TestGRPC_isAStreamFromTheBeginning(t *testing.T) {
	for name, test := range map[string]struct {
		kind string
		took time.Duration
	}{"gRPC": {"application/grpc", time.Minute}, "any other": {"application/json", time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := newTargetOf(t, "protocol: grpc\ntimeout: 1s\ntimeouts: {idle: 1m}", target.Parts{Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
					<-ctx.Done()
					return nil, &http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: ctx.Err()}
				})})
				r := grpcRequest("/link/crm/a")
				r.Header.Set("Content-Type", test.kind)
				if _, record := makeCall(t.Context(), to, r); record.Duration != test.took || record.Code != call.UpstreamTimeout {
					t.Errorf("%+v", record)
				}
			})
		})
	}
}

// grpcAnswer has its status in a head that is also the end, or in the trailer.
func grpcAnswer(late bool, status string) *http1.Answer {
	a := answer(200, "", "Content-Type", "application/grpc")
	if late {
		a.Length = -1
		a.Trailer = func() http1.Header { return header("Grpc-Status", status) }
	} else {
		a.Header.Add("Grpc-Status", status)
	}
	return a
}

// UNAUTHENTICATED is handled like 401, but not after a head.
func TestGRPC_unauthenticatedRenewsTheCredentialOnce(t *testing.T) {
	for name, test := range map[string]struct {
		late     bool
		again    string // answer to the second attempt
		attempts int32
		status   string
	}{
		"it was old":          {false, "0", 2, "0"},
		"it is not let in":    {false, "16", 2, "16"},
		"behind another head": {true, "0", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var made int32
			cred := &credential{field: "Authorization", value: "Bearer t", renewed: true}
			to := newTargetOf(t, "protocol: grpc", target.Parts{Credential: cred, Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				if b, err := sentBody(out); b != "hello" || err != nil {
					t.Error(b, err)
				}
				if made++; made == 1 {
					return grpcAnswer(test.late, "16"), nil
				}
				return grpcAnswer(false, test.again), nil
			})})
			r := grpcRequest("/link/crm/pkg.Service/Get")
			r.Body, r.Length = strings.NewReader("hello"), -1
			w, record := makeCall(t.Context(), to, r)
			if made != test.attempts || w.header.Get("grpc-status") != test.status || record.Attempts != 1 || cred.renewals != int(test.attempts-1) {
				t.Errorf("%d attempts, %v, %+v", made, w.header, record)
			}
		})
	}
}

func TestGRPC_statusesSayHowATargetIs(t *testing.T) {
	for status, open := range map[string]bool{
		"0": false, "1": false, "2": true, "3": false, "4": true, "5": false, "7": false, "8": false, "12": false, "13": true, "14": true, "15": true, "16": false, "": false, "x": false,
	} {
		for _, late := range []bool{false, true} {
			to := newTargetOf(t, "protocol: grpc\nretry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 1}", target.Parts{
				Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
					return grpcAnswer(late, status), nil
				}),
			})
			w, _ := makeCall(t.Context(), to, grpcRequest("/link/crm/a"))
			if got := to.Breaker.State() == resilience.Open; got != open {
				t.Errorf("%q, in a trailer %v: open %v", status, late, got)
			}
			if !w.ended || w.status != 200 {
				t.Errorf("the application saw %d, ended %v", w.status, w.ended)
			}
		}
	}
}

func TestGRPC_isRetriedByItsStatus(t *testing.T) {
	for name, test := range map[string]struct {
		late     bool
		status   string
		attempts int
	}{
		"UNAVAILABLE":           {false, "14", 3},
		"RESOURCE_EXHAUSTED":    {false, "8", 3},
		"NOT_FOUND":             {false, "5", 1},
		"UNAVAILABLE, too late": {true, "14", 1},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTargetOf(t, "protocol: grpc\nretry: {unsafe: true, initialInterval: 1ms}", target.Parts{
				Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
					return grpcAnswer(test.late, test.status), nil
				}),
			})
			if _, record := makeCall(t.Context(), to, grpcRequest("/link/crm/a")); record.Attempts != test.attempts {
				t.Errorf("%d attempts", record.Attempts)
			}
		})
	}
}

// breaking is an answer that breaks off after its head.
func breaking(err error, fields ...string) trip {
	return func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		a := answer(200, "", fields...)
		a.Length, a.Body = 100, io.NopCloser(io.MultiReader(strings.NewReader("half"), broken{err}))
		return a, nil
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// A target whose answers break off counts as failing, with both transports.
func TestBreaker_countsAnswersThatBreak(t *testing.T) {
	stream := []string{"Content-Type", "text/event-stream"}
	for name, test := range map[string]struct {
		reason   http1.Reason
		fields   []string
		open     bool
		endpoint bool // whether the endpoint counts as failed
	}{
		"reset":                        {http1.ReasonReset, nil, true, true},
		"garbage":                      {http1.ReasonGarbage, nil, true, true},
		"too slow":                     {http1.ReasonTimeout, nil, true, true},
		"the application left":         {http1.ReasonGone, nil, false, false},
		"the application's body":       {http1.ReasonBody, nil, false, false},
		"a stream reset":               {http1.ReasonReset, stream, false, true}, // the stream was established
		"a stream that rested so long": {http1.ReasonTimeout, stream, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outcomes := []resilience.Outcome{}
				breaks := breaking(&http1.Error{Reason: test.reason, Sent: true, Err: errBroken}, test.fields...)
				to := newTargetOf(t, "circuitBreaker: {failureThreshold: 2}", target.Parts{
					Transport: trip(func(ctx context.Context, endpoint string, out *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
						time.Sleep(time.Second) // the target takes that time, not the application
						return breaks(ctx, endpoint, out, interim)
					}),
					Endpoints: judged{&outcomes},
				})
				for range 2 { // two failures in a row: the head between them is not a success
					if w, _ := makeCall(t.Context(), to, request("GET", "/link/crm/", "")); w.ended || w.body.String() != "half" {
						t.Error("half an answer ended well")
					}
				}
				if open := to.Breaker.State() == resilience.Open; open != test.open {
					t.Errorf("open: %v", open)
				}
				if failed := len(outcomes) == 2 && outcomes[1] == resilience.Failure; failed != test.endpoint {
					t.Errorf("the endpoint was told %v", outcomes)
				}
			})
		})
	}
}

type judged struct{ outcomes *[]resilience.Outcome }

func (j judged) Pick(context.Context, []string) (string, func(resilience.Outcome), error) {
	return "a:1", func(o resilience.Outcome) { *j.outcomes = append(*j.outcomes, o) }, nil
}
func (judged) Close() {}

// L12: a trial that becomes a stream does not block other calls until its end
// (https://github.com/getnora-io/nora/issues/607).
func TestBreaker_aStreamIsATrialUpToItsHead(t *testing.T) {
	for name, kind := range map[string]string{"a stream": "text/event-stream", "gRPC": "application/grpc"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failing, release := true, make(chan struct{})
				to := newTargetOf(t, "retry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 1, successThreshold: 1, resetTimeout: 1s}", target.Parts{
					Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
						if failing {
							return nil, &http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}
						}
						a := answer(200, "", "Content-Type", kind)
						a.Length, a.Body = -1, io.NopCloser(until{release})
						return a, nil
					}),
				})
				makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				failing = false
				<-time.After(2 * time.Second)
				done := make(chan struct{})
				go func() { makeCall(t.Context(), to, request("GET", "/link/crm/", "")); close(done) }()
				synctest.Wait()
				if s := to.Breaker.State(); s != resilience.Closed {
					t.Error("the trial is not over with its head:", s)
				}
				close(release)
				<-done
			})
		})
	}
}

type until struct{ release chan struct{} }

func (u until) Read([]byte) (int, error) {
	<-u.release
	return 0, io.EOF
}
