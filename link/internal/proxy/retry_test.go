package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// stage is a point at which an attempt fails.
type stage struct {
	name   string
	reason http1.Reason // "": status
	sent   bool
	status int
	again  bool // another attempt may help
}

var stages = []stage{
	{"no connection", http1.ReasonConnect, false, 0, true},
	{"closed before a byte", http1.ReasonReset, false, 0, true},
	{"broken after the request", http1.ReasonReset, true, 0, true},
	{"no answer in time", http1.ReasonTimeout, true, 0, true},
	{"garbage", http1.ReasonGarbage, true, 0, true},
	{"503", "", true, 503, true},
	{"429", "", true, 429, true},
	{"500, which is not in on", "", true, 500, false},
	{"404", "", true, 404, false},
	{"200", "", true, 200, false},
}

// bodies of requests; 16 bytes are kept.
var bodies = []struct {
	name    string
	text    string
	chunked bool
	kept    bool
}{
	{"no body", "", false, true},
	{"a small one", "0123456789", false, true},
	{"a small one in chunks", "0123456789", true, true},
	{"as long as may be", "0123456789abcdef", true, true},
	{"a large one", "0123456789abcdefX", false, false},
	{"a large one in chunks", "0123456789abcdefX", true, false},
}

// L11: https://github.com/traefik/traefik/issues/8990,
// https://github.com/golang/go/issues/19943
func TestRetry_reachesTheTargetNoMoreThanIsSafe(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "get", "PURGE"} {
		for _, key := range []string{"", "k1"} {
			for _, unsafe := range []bool{false, true} {
				for _, s := range stages {
					for _, b := range bodies {
						t.Run(fmt.Sprintf("%s/key %q/unsafe %v/%s/%s", method, key, unsafe, s.name, b.name), func(t *testing.T) {
							retries(t, method, key, unsafe, s, b.text, b.chunked, b.kept)
						})
					}
				}
			}
		}
	}
}

func retries(t *testing.T, method, key string, unsafe bool, s stage, body string, chunked, kept bool) {
	attempts, executed := 0, 0
	up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		attempts++
		if s.sent {
			executed++
			if got, err := sentBody(out); got != body || err != nil {
				t.Errorf("attempt %d had the body %q, %v", attempts, got, err)
			}
			if want := int64(len(body)); out.Length != want && (!chunked || out.Length != -1) {
				t.Errorf("attempt %d had the length %d", attempts, out.Length)
			}
		}
		if s.reason != "" {
			return nil, &http1.Error{Reason: s.reason, Sent: s.sent, Err: errBroken}
		}
		return answer(s.status, ""), nil
	})
	settings := fmt.Sprintf("retry: {initialInterval: 1ms, maxInterval: 1ms, maxBodyBytes: 16, unsafe: %v}", unsafe)
	r := request(method, "/link/crm/a", body)
	if chunked {
		r.Length = -1
	}
	if key != "" {
		r.Header.Add("Idempotency-Key", key)
	}
	to := newTargetOf(t, settings, target.Parts{Transport: up})
	_, record := makeCall(t.Context(), to, r)

	idempotent := strings.Contains("GET HEAD OPTIONS PUT DELETE", method)
	want := 1
	if s.again && (idempotent || key != "" || unsafe || !s.sent) && (kept || !s.sent) {
		want = 3
	}
	if attempts != want || record.Attempts != want {
		t.Errorf("%d attempts, recorded %d; want %d", attempts, record.Attempts, want)
	}
	if !idempotent && key == "" && !unsafe && executed > 1 {
		t.Errorf("executed %d times", executed)
	}
}

// UL12: a request that the target did not process is sent again at once, whatever the
// retry settings, and is not a retry; but not without limit.
func TestRetry_whatATargetNeverTookIsNoRetry(t *testing.T) {
	for name, test := range map[string]struct {
		reason http1.Reason
		times  int
		body   string
		want   int // status
		reach  int // number of attempts
	}{
		"a connection that goes away":       {call.ReasonUnserved, 1, "x", 200, 2},
		"many that do":                      {call.ReasonUnserved, 40, "x", 200, 41},
		"nothing but such":                  {call.ReasonUnserved, 1000, "x", 502, maxUnserved + 1},
		"a refusal":                         {call.ReasonRefused, 1, "x", 200, 2},
		"two":                               {call.ReasonRefused, 2, "x", 502, 2},
		"closed, which is another matter":   {http1.ReasonReset, 1, "x", 502, 1},
		"a body of which too much was read": {call.ReasonUnserved, 1, "0123456789abcdefX", 502, 1},
	} {
		t.Run(name, func(t *testing.T) {
			made := 0
			up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				got, err := sentBody(out)
				if made++; made <= test.times {
					return nil, &http1.Error{Reason: test.reason, Err: errBroken}
				}
				if got != test.body || err != nil {
					t.Errorf("the body is %q, %v", got, err)
				}
				return answer(200, ""), nil
			})
			to := newTargetOf(t, "retry: {maxAttempts: 1, maxBodyBytes: 16}", target.Parts{Transport: up})
			w, record := makeCall(t.Context(), to, request("POST", "/link/crm/a", test.body))
			if w.status != test.want || made != test.reach || record.Attempts != 1 {
				t.Errorf("status %d, %d made, %d recorded", w.status, made, record.Attempts)
			}
		})
	}
}

// A key that the target does not get makes nothing safe.
func TestRetry_doesNotCountOnAKeyThatDoesNotGoOn(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		fields   []string
		want     int
	}{
		"it goes on":              {"", []string{"Idempotency-Key", "1"}, 3},
		"an empty one":            {"", []string{"Idempotency-Key", ""}, 1},
		"a rule removes it":       {"headers: {remove: [Idempotency-Key]}", []string{"Idempotency-Key", "1"}, 1},
		"Connection takes it off": {"", []string{"Idempotency-Key", "1", "Connection", "idempotency-key"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTargetOf(t, test.settings, target.Parts{Transport: always(503, "")})
			if _, record := makeCall(t.Context(), to, request("POST", "/link/crm/", "x", test.fields...)); record.Attempts != test.want {
				t.Errorf("%d attempts", record.Attempts)
			}
		})
	}
}

// calls makes one call in virtual time, and returns the time of each attempt.
func calls(t *testing.T, settings string, up func(n int) (*http1.Answer, error)) (w *recorder, record CallRecord, at []time.Duration, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		to := newTargetOf(t, settings, target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			at = append(at, time.Since(began))
			return up(len(at))
		})})
		w, record = makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		took = time.Since(began)
	})
	return w, record, at, took
}

func TestRetry_waitsAsLongAsTheTargetAsks(t *testing.T) {
	inThree := func() string { return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) }
	for name, test := range map[string]struct {
		settings string
		after    func() string
		attempts int
		wait     time.Duration // before the second
	}{
		"seconds":                        {"retry: {initialInterval: 1s, jitter: 0}", func() string { return "3" }, 3, 3 * time.Second},
		"a date":                         {"retry: {initialInterval: 1s, jitter: 0}", inThree, 3, 3 * time.Second},
		"less than we would":             {"retry: {initialInterval: 2s, jitter: 0}", func() string { return " 1 " }, 3, 2 * time.Second},
		"nothing":                        {"retry: {initialInterval: 2s, jitter: 0}", func() string { return "" }, 3, 2 * time.Second},
		"nonsense":                       {"retry: {initialInterval: 2s, jitter: 0}", func() string { return "soon" }, 3, 2 * time.Second},
		"a negative number":              {"retry: {initialInterval: 2s, jitter: 0}", func() string { return "-3" }, 3, 2 * time.Second},
		"a date that has passed":         {"retry: {initialInterval: 2s, jitter: 0}", func() string { return "Sun, 06 Nov 1994 08:49:37 GMT" }, 3, 2 * time.Second},
		"longer than maxInterval":        {"retry: {initialInterval: 1s, maxInterval: 2s}", func() string { return "3" }, 1, 0},
		"longer than any number":         {"retry: {initialInterval: 1s}", func() string { return "99999999999999999999999" }, 1, 0},
		"longer than what is left":       {"timeout: 2s\nretry: {initialInterval: 1s}", func() string { return "2" }, 1, 0},
		"longer than what is left later": {"timeout: 5s\nretry: {initialInterval: 1s}", func() string { return "3" }, 2, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, at, took := calls(t, test.settings, func(int) (*http1.Answer, error) { return answer(503, "busy", "Retry-After", test.after()), nil })
			if w.status != 503 || w.body.String() != "busy" || !w.ended || w.header.Get("fiso-error") != "" {
				t.Errorf("the application saw %d %q", w.status, w.body.String())
			}
			if len(at) != test.attempts || len(at) > 1 && at[1] != test.wait {
				t.Errorf("attempts at %v", at)
			}
			if took != at[len(at)-1] {
				t.Errorf("the answer came after %v, the last attempt was at %v", took, at[len(at)-1])
			}
		})
	}
}

func TestRetry_hasTheAnswerAtOnceWhereItsOwnWaitWouldPassTheDeadline(t *testing.T) {
	w, record, at, took := calls(t, "timeout: 1s\nretry: {initialInterval: 800ms, backoff: constant, jitter: 0}", func(int) (*http1.Answer, error) {
		return nil, &http1.Error{Reason: http1.ReasonConnect, Err: errBroken}
	})
	if len(at) != 2 || took != 800*time.Millisecond || w.status != 502 || record.Code != call.ConnectFailed {
		t.Error(at, took, w.status, record.Code)
	}
}

func TestRetry_theTotalTimeCountsAttemptsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		to := newTargetOf(t, "timeout: 5s\nretry: {maxAttempts: 9, initialInterval: 1s, backoff: constant, jitter: 0}", target.Parts{
			Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				attempts++
				select {
				case <-time.After(1500 * time.Millisecond):
					return answer(503, ""), nil
				case <-ctx.Done():
					return nil, &http1.Error{Reason: http1.ReasonConnect, Err: ctx.Err()} // as transports report an interrupted connect
				}
			})})
		began := time.Now()
		w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		// Two attempts and a wait are 4 s; another wait would end with the call.
		if took := time.Since(began); took != 4*time.Second || w.status != 503 || attempts != 2 || record.Attempts != 2 {
			t.Error(took, w.status, attempts, record)
		}
	})
}

func TestRetry_aCallThatIsCutByItsTotalTimeIsATimeout(t *testing.T) {
	for _, reason := range []http1.Reason{http1.ReasonConnect, http1.ReasonTimeout} {
		synctest.Test(t, func(t *testing.T) {
			to := newTargetOf(t, "timeout: 5s", target.Parts{Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				<-ctx.Done()
				return nil, &http1.Error{Reason: reason, Sent: true, Err: ctx.Err()}
			})})
			began := time.Now()
			w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
			if w.status != 504 || record.Code != call.UpstreamTimeout || record.Attempts != 1 || time.Since(began) != 5*time.Second {
				t.Error(w.status, record, time.Since(began))
			}
		})
	}
}

func TestRetry_perAttemptEndsWithTheHeadOfTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		to := newTargetOf(t, "retry: {initialInterval: 1s, jitter: 0}\ntimeouts: {perAttempt: 2s}", target.Parts{
			Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				if attempts++; attempts == 1 {
					<-ctx.Done()
					if !limitEnded(ctx) {
						t.Error("it ended as if the application had left")
					}
					return nil, &http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: ctx.Err()}
				}
				a := answer(200, "")
				a.Length, a.Body = -1, io.NopCloser(&slow{ctx: ctx, every: 3 * time.Second, left: 3})
				return a, nil
			})})
		began := time.Now()
		w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		if w.body.String() != "..." || !w.ended || record.Attempts != 2 || time.Since(began) != 12*time.Second {
			t.Error(w.body.String(), w.ended, record, time.Since(began))
		}
	})
}

func TestRetry_anAnswerThatComesTogetherWithItsTimeoutIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		to := newTargetOf(t, "retry: {initialInterval: 1s}\ntimeouts: {perAttempt: 2s}", target.Parts{
			Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				<-ctx.Done()
				a := answer(200, "x")
				a.Body = &closing{Reader: a.Body, closed: &closed}
				return a, nil
			})})
		w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		if w.status != 504 || record.Attempts != 3 || closed != 3 {
			t.Error(w.status, record, closed)
		}
	})
}

// UL23: when one of three endpoints was down, every third WebSocket was answered 502. A
// handshake reaches a server at most once, but may be tried again if nothing was sent.
func TestRetry_anUpgradeIsAskedForAgainWhereNothingWasSent(t *testing.T) {
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			var asked []string
			to := newTargetOf(t, "retry: {initialInterval: 1ms}", target.Parts{
				Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
					if asked = append(asked, out.Upgrade); len(asked) > 1 {
						return answer(426, ""), nil
					}
					if s.status > 0 {
						return answer(s.status, ""), nil
					}
					return nil, &http1.Error{Reason: s.reason, Sent: s.sent, Err: errors.New("broken")}
				})})
			r := request("GET", "/link/crm/", "")
			r.Upgrade = "websocket"
			w, _ := makeCall(t.Context(), to, r)
			want := []string{"websocket"}
			if !s.sent {
				want = append(want, "websocket")
			}
			if !slices.Equal(asked, want) || !s.sent && w.status != 426 {
				t.Errorf("asked for %q, and answered %d", asked, w.status)
			}
		})
	}
}

// The connection of an upgrade is closed only by the call.
func TestRetry_anUpgradeThatComesTogetherWithItsTimeoutIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, far := net.Pipe()
		to := newTargetOf(t, "timeouts: {perAttempt: 2s}", target.Parts{
			Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				<-ctx.Done()
				a := answer(101, "")
				a.Upgraded = far
				return a, nil
			})})
		r := request("GET", "/link/crm/", "")
		r.Upgrade = "websocket"
		if w, record := makeCall(t.Context(), to, r); w.status != 504 || record.Attempts != 1 {
			t.Error(w.status, record)
		}
		_ = up.SetReadDeadline(time.Now().Add(time.Second)) // of a pipe
		if _, err := up.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error("the target's side is open:", err)
		}
	})
}

// slow is a body that gives a byte at intervals.
type slow struct {
	ctx   context.Context
	every time.Duration
	left  int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.every):
		s.left--
		return copy(p, "."), nil
	case <-s.ctx.Done():
		if limitEnded(s.ctx) {
			return 0, &http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: s.ctx.Err()}
		}
		return 0, &http1.Error{Reason: http1.ReasonGone, Sent: true, Err: s.ctx.Err()}
	}
}

type closing struct {
	io.Reader
	closed *int
}

func (c *closing) Close() error { *c.closed++; return nil }

func TestRetry_closesEveryAnswerThatTheApplicationDoesNotSee(t *testing.T) {
	var ends [3]int
	_, _, at, _ := calls(t, "", func(n int) (*http1.Answer, error) {
		a := answer(503, "x")
		a.Body = &closing{Reader: a.Body, closed: &ends[n-1]}
		return a, nil
	})
	if len(at) != 3 || ends != [3]int{1, 1, 1} {
		t.Error(at, ends)
	}
}

// picks returns a, b and c, untried ones first, and counts those in use.
type picks struct {
	mu       sync.Mutex
	out      int
	outcomes []resilience.Outcome
	err      error
}

func (p *picks) Pick(ctx context.Context, tried []string) (string, func(resilience.Outcome), error) {
	if p.err != nil {
		return "", nil, p.err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out++
	return string(rune('a' + len(tried)%3)), func(o resilience.Outcome) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.out--
		p.outcomes = append(p.outcomes, o)
	}, nil
}
func (*picks) Close() {}

func TestRetry_goesToAnotherEndpointFirst(t *testing.T) {
	var at []string
	p := &picks{}
	to := newTargetOf(t, "", target.Parts{Endpoints: p, Transport: trip(func(_ context.Context, endpoint string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		at = append(at, endpoint)
		return nil, &http1.Error{Reason: http1.ReasonConnect, Err: errBroken}
	})})
	makeCall(t.Context(), to, request("POST", "/link/crm/", "x"))
	if strings.Join(at, "") != "abc" || p.out != 0 || len(p.outcomes) != 3 || p.outcomes[0] != resilience.Failure {
		t.Error(at, p.out, p.outcomes)
	}
}

func TestRetry_withoutAnAddressNothingWasSent(t *testing.T) {
	to := newTargetOf(t, "", target.Parts{Endpoints: &picks{err: errors.New("no such host")}, Transport: always(200, "")})
	w, record := makeCall(t.Context(), to, request("POST", "/link/crm/", "x"))
	if record.Code != call.ConnectFailed || record.Attempts != 3 || !strings.Contains(w.body.String(), "no such host") {
		t.Error(record, w.body.String())
	}
}

// L12: https://github.com/envoyproxy/envoy/issues/30205
func TestRetry_staysWithinItsBudgetWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		attempts := 0
		to := newTargetOf(t, "circuitBreaker: {enabled: false}\nretry: {initialInterval: 5s, maxAttempts: 2, jitter: 0, budget: 0.1}", target.Parts{
			Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
				mu.Lock()
				defer mu.Unlock()
				attempts++
				return answer(503, ""), nil
			})})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { makeCall(t.Context(), to, request("GET", "/link/crm/", "")) })
		}
		all.Wait()
		if attempts < 103 || attempts > 112 {
			t.Errorf("%d attempts for 100 calls with a budget of a tenth", attempts)
		}
	})
}

func TestRetry_countsEachRetryOfACallInItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		to := newTargetOf(t, "circuitBreaker: {enabled: false}\nretry: {initialInterval: 10ms, maxAttempts: 5, jitter: 0, budget: 0.2}", target.Parts{
			Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
				attempts++
				return answer(503, ""), nil
			})})
		makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		give := []func(){to.Budget.TryRetry(), to.Budget.TryRetry(), to.Budget.TryRetry()}
		if attempts != 5 || give[2] == nil {
			t.Fatal(attempts, "the call kept a part of the budget")
		}
		if to.Budget.TryRetry() != nil {
			t.Error("four retries of one call and three more fit into a fifth of one call")
		}
	})
}

func TestRetry_noBudgetIsNoRetry(t *testing.T) {
	w, _, at, _ := calls(t, "retry: {budget: 0}", func(int) (*http1.Answer, error) { return answer(503, "x"), nil })
	if len(at) != 1 || w.body.String() != "x" {
		t.Error(at, w.body.String())
	}
}

func TestRetry_endsWhereTheBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to *target.Target
		attempts := 0
		to = newTargetOf(t, "circuitBreaker: {failureThreshold: 1}\nretry: {maxAttempts: 9}", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			if attempts++; attempts == 2 {
				another, _, _ := to.Breaker.Allow()
				another.Done(resilience.Failure)
			}
			return answer(503, "x"), nil
		})})
		w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		if attempts != 2 || w.body.String() != "x" || record.Code != "" {
			t.Error(attempts, w.body.String(), record)
		}
	})
}

func TestRetry_endsWithItsApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		attempts := 0
		to := newTargetOf(t, "retry: {initialInterval: 5s}", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			attempts++
			time.AfterFunc(time.Second, cancel)
			return answer(503, ""), nil
		})})
		began := time.Now()
		w, record := makeCall(ctx, to, request("GET", "/link/crm/", ""))
		if attempts != 1 || w.begun || record.Status != 499 || time.Since(began) != time.Second {
			t.Error(attempts, w.status, record, time.Since(began))
		}
	})
}

// While a retry waits, the previous attempt may still read the body.
func TestRetry_hasTheBodyWholeWhateverTheAttemptBeforeStillReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reading sync.WaitGroup
		attempts, got := 0, ""
		to := newTargetOf(t, "retry: {initialInterval: 1s, jitter: 0, maxBodyBytes: 4}", target.Parts{Transport: streaming(func(_ context.Context, out *http1.Outgoing) (*http1.Answer, error) {
			if attempts++; attempts == 1 {
				read(t, out.Body, "1")
				reading.Go(func() {
					defer func() { _ = out.Body.Close() }() // the test is over
					time.Sleep(500 * time.Millisecond)
					_, _ = io.ReadAll(out.Body)
				})
				return answer(503, ""), nil
			}
			defer func() { _ = out.Body.Close() }() // the test is over
			var err error
			if got, err = sentBody(out); err != nil {
				t.Error(err)
			}
			return answer(200, ""), nil
		})})
		r := request("PUT", "/link/crm/", "123456789")
		r.Length = -1
		w, _ := makeCall(t.Context(), to, r)
		reading.Wait()
		if w.status != 200 || got != "123456789" || attempts != 2 {
			t.Error(w.status, got, attempts)
		}
	})
}
