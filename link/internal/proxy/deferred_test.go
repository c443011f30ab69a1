package proxy

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

func TestAsync_isWhatAsksForItAndCanBe(t *testing.T) {
	for name, test := range map[string]struct {
		prefer   string
		fields   []string
		upgrade  string
		deferred bool
	}{
		"nothing":                {},
		"another preference":     {prefer: "wait=5"},
		"a longer name":          {prefer: "respond-asynchronously"},
		"a value":                {prefer: "x=respond-async"},
		"alone":                  {prefer: "respond-async", deferred: true},
		"among others, any case": {prefer: "wait=1, Respond-Async ; x=1", deferred: true},
		"of gRPC":                {prefer: "respond-async", fields: []string{"Content-Type", "application/grpc"}},
		"of an upgrade":          {prefer: "respond-async", upgrade: "websocket"},
	} {
		t.Run(name, func(t *testing.T) {
			deferred := false
			to := newTargetOf(t, "async: {topic: t}", target.Parts{Transport: always(200, "")})
			p := Proxy{Target: only(to), Defer: func(_ context.Context, w http1.ResponseWriter, c *Call) error {
				deferred = true
				return c.Answer(w, 202, nil, []byte("later"))
			}}
			var record CallRecord
			p.Observe = func(r CallRecord) { record = r }
			r, w := request("GET", "/link/crm/", "", append(test.fields, "Prefer", test.prefer)...), &recorder{}
			r.Upgrade = test.upgrade
			p.ServeCall(t.Context(), w, r)
			if deferred != test.deferred || (record.Mode == "async") != deferred {
				t.Errorf("deferred: %v, %+v", deferred, record)
			}
			if deferred && (w.status != 202 || record.Status != 202 || w.body.String() != "later" || !w.ended) {
				t.Errorf("%+v %+v", w, record)
			}
		})
	}
}

// Accepting calls does not use up the limits for making them, and is limited as well.
func TestAsync_hasARateOfItsOwnForAccepting(t *testing.T) {
	to := newTargetOf(t, "async: {topic: t}\nrateLimit: {requestsPerSecond: 0.001, burst: 2}", target.Parts{Transport: always(200, "")})
	p := Proxy{Target: only(to), Defer: func(_ context.Context, w http1.ResponseWriter, c *Call) error { return c.Answer(w, 202, nil, nil) }}
	var got []int
	for _, prefer := range []string{"respond-async", "respond-async", "respond-async", "", "", ""} {
		w := &recorder{}
		p.ServeCall(t.Context(), w, request("GET", "/link/crm/", "", "Prefer", prefer))
		got = append(got, w.status)
	}
	if want := []int{202, 202, 429, 200, 200, 429}; !equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A slow Kafka blocks no direct calls to the target, and the calls that wait for it are
// limited as well.
func TestAsync_hasPlacesOfItsOwnForAccepting(t *testing.T) {
	to := newTargetOf(t, "async: {topic: t}\nmaxConcurrent: 1", target.Parts{Transport: always(200, "")})
	entered, release := make(chan struct{}), make(chan struct{})
	p := Proxy{Target: only(to), Defer: func(_ context.Context, w http1.ResponseWriter, c *Call) error {
		close(entered)
		<-release
		return c.Answer(w, 202, nil, nil)
	}}
	send := func(prefer string) int {
		w := &recorder{}
		p.ServeCall(t.Context(), w, request("GET", "/link/crm/", "", "Prefer", prefer))
		return w.status
	}
	accepted := make(chan int)
	go func() { accepted <- send("respond-async") }()
	<-entered
	if status := send(""); status != 200 {
		t.Errorf("a call that is made now: %d", status)
	}
	if status := send("respond-async"); status != 503 {
		t.Errorf("one accepted too many: %d", status)
	}
	close(release)
	if status := <-accepted; status != 202 {
		t.Error(status)
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestAsync_isRefusedWithoutKafka(t *testing.T) {
	to := newTargetOf(t, "async: {topic: t}", target.Parts{Transport: always(200, "")})
	if w, r := makeCall(t.Context(), to, request("GET", "/link/crm/", "", "Prefer", "respond-async")); w.status != 503 || r.Code != call.AsyncUnavailable {
		t.Error(w.status, r)
	}
}

func TestForwarded_hasNothingThatRulesSet(t *testing.T) {
	to := newTargetOf(t, "headers: {set: {X-Secret: canary}, remove: [Cookie]}", target.Parts{Credential: &credential{field: "Authorization"}})
	c := &Call{Target: to, Request: request("GET", "/", "", "Authorization", "a", "Cookie", "b", "X-Secret", "c", "X-Mine", "d", "Connection", "x-gone", "X-Gone", "e")}
	if h := c.Forwarded(); len(h) != 1 || h.Get("X-Mine") != "d" {
		t.Error(h)
	}
}

func TestReadBody(t *testing.T) {
	to := newTargetOf(t, "async: {topic: t}", target.Parts{})
	for name, test := range map[string]struct {
		body   string
		length int64
		err    error
		want   call.Code
	}{
		"whole":                      {body: "12345", length: 5},
		"of unknown length":          {body: "12345", length: -1},
		"none":                       {},
		"too long, and says so":      {body: "123456", length: 6, want: call.BodyTooLarge},
		"too long, and does not say": {body: "123456", length: -1, want: call.BodyTooLarge},
		"broken":                     {body: "1", length: 5, err: errBroken, want: call.BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("POST", "/", test.body)
			r.Length = test.length
			if test.err != nil {
				r.Body = io.MultiReader(r.Body, &failingReader{test.err})
			}
			b, err := (&Call{Target: to, Request: r}).ReadBody(t.Context(), 5)
			if code, _, _, _ := Refused(err); code != test.want || err == nil && string(b) != test.body {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// L14: a caller that sends byte by byte a body that must be read whole holds a place of
// the target for its timeout at most (https://nvd.nist.gov/vuln/detail/CVE-2007-6750).
func TestReadBody_endsWithTheTimeoutOfTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newTargetOf(t, "async: {topic: t}\ntimeout: 10s", target.Parts{})
		r := request("POST", "/", "")
		ctx, cut := context.WithCancel(t.Context())
		r.Body, r.Length, r.Interrupt = &slow{ctx: ctx, every: time.Second, left: 1000}, -1, cut
		began := time.Now()
		_, err := (&Call{Target: to, Request: r}).ReadBody(t.Context(), 1000)
		if code, _, _, _ := Refused(err); code != call.RequestTimeout || time.Since(began) > 11*time.Second {
			t.Error(err, time.Since(began))
		}
	})
}

func TestAnswer_failsWithTheApplicationsConnection(t *testing.T) {
	c := &Call{Target: newTargetOf(t, "", target.Parts{})}
	if err := c.Answer(&recorder{fail: errBroken}, 200, nil, nil); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if err := c.Answer(&failsLater{}, 200, nil, []byte("a")); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

// failsLater is an application that leaves after the head.
type failsLater struct{ recorder }

func (*failsLater) Write([]byte) (int, error) { return 0, errBroken }

// A deferred call obeys the rules of the time when it is made, and counts with its own
// mode, unless it only waited.
func TestDeliver_isAnyOtherCall(t *testing.T) {
	for name, test := range map[string]struct {
		settings, path string
		up             trip
		prepare        func(*target.Target)
		status         int // 0: there was no answer
		code           call.Code
		observed       bool
	}{
		"answered":    {path: "/a%20b?x=1", up: always(200, "ok"), status: 200, observed: true},
		"retried":     {path: "/", up: failOnce(), status: 200, observed: true},
		"not allowed": {settings: "allowedPaths: [/b]", path: "/a", code: call.PathNotAllowed, observed: true},
		"unreachable": {settings: "retry: {maxAttempts: 1}", path: "/", up: failing(http1.ReasonConnect, errBroken), code: call.ConnectFailed, observed: true},
		"a fault": {path: "/", up: func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			panic("x")
		}, code: call.Internal, observed: true},
		"rate":           {settings: "rateLimit: {requestsPerSecond: 0.001, burst: 1}", path: "/", prepare: func(to *target.Target) { to.Rate.Allow() }, code: call.RateLimited},
		"too many":       {settings: "maxConcurrent: 1", path: "/", prepare: func(to *target.Target) { to.Concurrency.TryAcquire() }, code: call.TooManyCalls},
		"a circuit open": {settings: "circuitBreaker: {failureThreshold: 1}", path: "/", prepare: trippedBreaker, code: call.CircuitOpen},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTargetOf(t, test.settings, target.Parts{Transport: test.up})
			if test.prepare != nil {
				test.prepare(to)
			}
			var records []CallRecord
			p := Proxy{Observe: func(r CallRecord) { records = append(records, r) }}
			r := request("POST", test.path, "body", "Idempotency-Key", "k")
			w := &recorder{}
			err := p.Deliver(t.Context(), w, to, r)
			if code, _, _, _ := Refused(err); code != test.code || w.status != test.status {
				t.Errorf("%d %v", w.status, err)
			}
			if (len(records) == 1) != test.observed || test.observed && (records[0].Mode != "delivery" || records[0].Code != test.code || records[0].Target != "crm") {
				t.Errorf("%+v", records)
			}
		})
	}
}

func trippedBreaker(to *target.Target) {
	permit, _, _ := to.Breaker.Allow()
	permit.Done(1)
}

func failOnce() trip {
	n := 0
	return func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		if n++; n == 1 {
			return nil, &http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}
		}
		return answer(200, "ok"), nil
	}
}

func TestDeliver_sendsThePathAndQueryAsTheyWereKept(t *testing.T) {
	var sent http1.Outgoing
	to := newTargetOf(t, "basePath: /base\nheaders: {set: {X-Team: a}}", target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		sent = *out
		return answer(204, ""), nil
	})})
	var p Proxy
	if err := p.Deliver(t.Context(), &recorder{}, to, request("PUT", "/a%20b?x=%2f&y", "")); err != nil {
		t.Fatal(err)
	}
	if sent.Path != "/base/a%20b" || sent.Query != "x=%2f&y" || !sent.ForceQuery || sent.Header.Get("X-Team") != "a" {
		t.Errorf("%+v", sent)
	}
}

// A stored call ends with the timeout even if its answer is a stream: nobody reads it.
func TestDeliver_endsAStreamWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newTargetOf(t, "timeout: 3s", target.Parts{Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
			return &http1.Answer{Status: 200, Header: header("Content-Type", "text/event-stream"), Length: -1, Body: &untilDone{ctx}}, nil
		})})
		var p Proxy
		began := time.Now()
		err := p.Deliver(t.Context(), &recorder{}, to, request("GET", "/", ""))
		if code, _, _, _ := Refused(err); code != call.UpstreamTimeout || time.Since(began) != 3*time.Second {
			t.Error(time.Since(began), err)
		}
	})
}

// untilDone is a body that sends nothing until its call ends.
type untilDone struct{ ctx context.Context }

func (b *untilDone) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, &http1.Error{Reason: http1.ReasonTimeout, Err: b.ctx.Err()}
}
func (*untilDone) Close() error { return nil }

func TestDeliver_isCutShortByItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := newTargetOf(t, "", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		cancel()
		return nil, &http1.Error{Reason: http1.ReasonGone, Err: context.Canceled}
	})})
	var record CallRecord
	p := Proxy{Observe: func(r CallRecord) { record = r }}
	err := p.Deliver(ctx, &recorder{}, to, request("GET", "/", ""))
	if _, _, _, ok := Refused(err); ok || err == nil || record.Status != 499 {
		t.Error(err, record)
	}
}

func TestRetryAfter(t *testing.T) {
	if d := RetryAfter(header("Retry-After", "3")); d != 3*time.Second {
		t.Error(d)
	}
	if d := RetryAfter(header("X", strings.Repeat("3", 3))); d != 0 {
		t.Error(d)
	}
}
