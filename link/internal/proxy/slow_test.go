package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// sluggish is an application that reads each part of an answer after a pause; fail says
// how its connection ends when the call's time is over.
type sluggish struct {
	recorder
	pause time.Duration
	fail  error
}

func (w *sluggish) Write(p []byte) (int, error) {
	time.Sleep(w.pause)
	if w.fail != nil {
		return 0, w.fail
	}
	return w.recorder.Write(p)
}

// trickle is a body that sends a byte now and then.
func trickle(every time.Duration, n int) *http1.Request {
	r := request("POST", "/link/crm/", "")
	left := make(chan struct{})
	r.Length, r.Interrupt = -1, func() { close(left) }
	r.Body = readerFunc(func(p []byte) (int, error) {
		if n == 0 {
			return 0, io.EOF
		}
		n--
		select {
		case <-time.After(every):
			return copy(p, "."), nil
		case <-left:
			return 0, os.ErrDeadlineExceeded
		}
	})
	return r
}

// reading is a target that reads the whole body of the request, and answers on demand.
func reading(answered func(ctx context.Context) (*http1.Answer, error)) streaming {
	return func(ctx context.Context, out *http1.Outgoing) (*http1.Answer, error) {
		read := make(chan struct{})
		go func() {
			defer func() { _ = out.Body.Close() }() // reading is over
			if _, err := io.Copy(io.Discard, out.Body); err == nil {
				close(read)
			}
		}()
		select {
		case <-read:
			return answered(ctx)
		case <-ctx.Done():
			return nil, &http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: ctx.Err()}
		}
	}
}

func silence(ctx context.Context) (*http1.Answer, error) {
	<-ctx.Done()
	return nil, &http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: ctx.Err()}
}

// endless is an answer that lasts until the call's time is over.
func endless(every time.Duration, length int64) trip {
	return func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		a := answer(200, "")
		a.Length, a.Body = length, io.NopCloser(&slow{ctx: ctx, every: every, left: 1000})
		return a, nil
	}
}

// UL4: slowness of the application says nothing about the target, while slowness of the
// target does.
func TestBreaker_countsNothingThatASlowApplicationDid(t *testing.T) {
	get := func() *http1.Request { return request("GET", "/link/crm/", "") }
	for name, test := range map[string]struct {
		settings string
		up       call.Transport
		request  func() *http1.Request
		app      *sluggish
		status   int
		code     call.Code
		says     resilience.Outcome
	}{
		"it reads slowly":                          {"", endless(0, 1000), get, &sluggish{pause: 4 * time.Second}, 200, call.RequestTimeout, resilience.Inconclusive},
		"it does not read":                         {"", endless(0, 1000), get, &sluggish{pause: 11 * time.Second, fail: os.ErrDeadlineExceeded}, 200, call.RequestTimeout, resilience.Inconclusive},
		"it left":                                  {"", endless(0, 1000), get, &sluggish{fail: errBroken}, 200, "", resilience.Success},
		"it sends slowly":                          {"", reading(silence), func() *http1.Request { return trickle(3*time.Second, 9) }, nil, 408, call.RequestTimeout, resilience.Inconclusive},
		"it sends slowly, within perAttempt":       {"timeouts: {perAttempt: 5s}", reading(silence), func() *http1.Request { return trickle(3*time.Second, 9) }, nil, 408, call.RequestTimeout, resilience.Inconclusive},
		"it leaves the target no time":             {"", reading(silence), func() *http1.Request { return trickle(3*time.Second, 3) }, nil, 504, call.UpstreamTimeout, resilience.Inconclusive},
		"it leaves the target time":                {"", reading(silence), func() *http1.Request { return trickle(time.Second, 4) }, nil, 504, call.UpstreamTimeout, resilience.Failure},
		"it holds a stream not known as one":       {"", endless(3*time.Second, -1), get, nil, 200, call.UpstreamTimeout, resilience.Inconclusive},
		"the target answers slowly":                {"", endless(3*time.Second, 1000), get, nil, 200, call.UpstreamTimeout, resilience.Failure},
		"the target answers slowly, it reads fast": {"", endless(3*time.Second, 1000), get, &sluggish{pause: time.Second}, 200, call.UpstreamTimeout, resilience.Failure},
		"the target gives up waiting for it": {"", streaming(func(_ context.Context, out *http1.Outgoing) (*http1.Answer, error) {
			go func() { _, _ = io.Copy(io.Discard, out.Body); _ = out.Body.Close() }()
			time.Sleep(2 * time.Second)
			return nil, &http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}
		}), func() *http1.Request { return trickle(5*time.Second, 9) }, nil, 502, call.UpstreamReset, resilience.Inconclusive},
		"the target breaks": {"", streaming(func(_ context.Context, out *http1.Outgoing) (*http1.Answer, error) {
			go func() { _, _ = io.Copy(io.Discard, out.Body); _ = out.Body.Close() }()
			time.Sleep(2 * time.Second)
			return nil, &http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}
		}), func() *http1.Request { return trickle(100*time.Millisecond, 99) }, nil, 502, call.UpstreamReset, resilience.Failure},
		"the target gives up waiting until it reads": {"", trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			a := answer(200, "")
			a.Length, a.Body = 100, io.NopCloser(io.MultiReader(strings.NewReader("half"), broken{&http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}}))
			return a, nil
		}), get, &sluggish{pause: 3 * time.Second}, 200, call.UpstreamReset, resilience.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &picks{}
				to := newTargetOf(t, "timeout: 10s\nretry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 1}\n"+test.settings, target.Parts{Transport: test.up, Endpoints: p})
				app := test.app
				if app == nil {
					app = &sluggish{}
				}
				record := serveTo(t.Context(), to, app, test.request())
				if app.status != test.status || record.Code != test.code || app.ended != (app.status >= 400) {
					t.Errorf("the application saw %d, whole %v: %+v", app.status, app.ended, record)
				}
				if open := to.Breaker.State() == resilience.Open; open != (test.says == resilience.Failure) {
					t.Errorf("open: %v", open)
				}
				if len(p.outcomes) != 1 || p.outcomes[0] != test.says {
					t.Errorf("the endpoint was told %v, want %v", p.outcomes, test.says)
				}
			})
		})
	}
}

// UL4: failures hours apart are not in a row if streams succeed between them, even if
// these last longer.
func TestBreaker_aStreamThatIsEstablishedIsASuccess(t *testing.T) {
	for name, test := range map[string]struct {
		fields []string
		first  string // first part of the body
		after  bool   // whether the row of failures is over
	}{
		"server-sent events":    {[]string{"Content-Type", "text/event-stream"}, "", true},
		"gRPC, with a message":  {[]string{"Content-Type", "application/grpc"}, "message", true},
		"gRPC, without one yet": {[]string{"Content-Type", "application/grpc"}, "", false},
		"an ordinary answer":    {nil, "half", false},
		"a WebSocket":           {[]string{"Upgrade", "websocket"}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, fails := make(chan struct{}), true
				to := newTargetOf(t, "retry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 2}", target.Parts{
					Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
						if fails {
							return nil, &http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}
						}
						a := answer(200, "", test.fields...)
						a.Length, a.Body = -1, io.NopCloser(io.MultiReader(strings.NewReader(test.first), until{release}))
						if name == "a WebSocket" {
							a.Upgraded = waiting{until{release}}
						}
						return a, nil
					}),
				})
				makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				fails = false
				done := make(chan struct{})
				go func() {
					defer close(done)
					w := &recorder{upgraded: waiting{until{release}}}
					serveTo(t.Context(), to, w, request("GET", "/link/crm/", ""))
				}()
				synctest.Wait() // the stream has begun
				fails = true
				makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				if open := to.Breaker.State() == resilience.Open; open == test.after {
					t.Errorf("open: %v", open)
				}
				close(release)
				<-done
			})
		})
	}
}

// waiting is a connection on which nothing arrives.
type waiting struct{ until }

func (waiting) Write(p []byte) (int, error) { return len(p), nil }
func (waiting) Close() error                { return nil }

// UL4: the same over real connections.
func TestCall_whoseApplicationSendsSlowlyHears408(t *testing.T) {
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for _, length := range []string{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 100000\r\n\r\nhello", "Content-Length: 10\r\n\r\nhello"} {
		to := newTarget(t, up, "timeout: 300ms\ncircuitBreaker: {failureThreshold: 1}")
		c := dial(t, serve(t, &Proxy{}, to))
		fmt.Fprint(c, "POST /link/crm/ HTTP/1.1\r\nHost: localhost\r\n"+length)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // only the head matters
		if resp.StatusCode != 408 || resp.Header.Get("fiso-error") != "REQUEST_TIMEOUT" || to.Breaker.State() != resilience.Closed {
			t.Errorf("%q: %d %v, the circuit is %v", length, resp.StatusCode, resp.Header, to.Breaker.State())
		}
	}
}

// UL4: the same over a connection that is not read from.
func TestCall_whoseApplicationDoesNotReadIsNoFaultOfItsTarget(t *testing.T) {
	cut := make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(cut)
		w.Header().Set("Content-Length", fmt.Sprint(64<<20))
		_, _ = io.CopyN(w, zeros{}, 64<<20)
	})
	to := newTarget(t, up, "timeout: 300ms\ncircuitBreaker: {failureThreshold: 1}")
	records := make(chan CallRecord, 1)
	c := dial(t, serve(t, &Proxy{Observe: func(r CallRecord) { records <- r }}, to))
	fmt.Fprint(c, "GET /link/crm/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-cut
	got, _ := io.Copy(io.Discard, c) // it is cut off
	if r := <-records; r.Status != 200 || r.Code != call.RequestTimeout || got >= 64<<20 || to.Breaker.State() != resilience.Closed {
		t.Errorf("%d bytes, %+v, the circuit is %v", got, r, to.Breaker.State())
	}
}
