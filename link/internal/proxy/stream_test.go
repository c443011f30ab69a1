package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

func TestStream_passesEachEventOnBeforeTheNextIsThere(t *testing.T) {
	next := make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for i := range 5 {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	records := make(chan CallRecord, 1)
	addr := serve(t, &Proxy{Observe: func(r CallRecord) { records <- r }}, newTarget(t, up, ""))
	c := dial(t, addr)
	fmt.Fprint(c, "GET /link/crm/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil) // before the first event
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // the test is over
	for i := range 5 {
		next <- struct{}{}
		read(t, resp.Body, fmt.Sprintf("data: %d\n\n", i))
	}
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Error(rest, err)
	}
	if r := <-records; r.Mode != "stream" || r.Status != 200 {
		t.Error(r)
	}
}

func TestStream_goesBothWaysAtOnce(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		_ = rc.Flush()
		in := bufio.NewReader(r.Body)
		for {
			l, err := in.ReadString('\n')
			if err != nil {
				break
			}
			fmt.Fprint(w, strings.ToUpper(l))
			_ = rc.Flush()
		}
		w.Header().Set("X-Sum", r.Trailer.Get("X-Up"))
	})
	addr := serve(t, &Proxy{}, newTarget(t, up, ""))
	c := dial(t, addr)
	fmt.Fprint(c, "POST /link/crm/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // the test is over
	for range 3 {
		fmt.Fprint(c, "3\r\nab\n\r\n")
		read(t, resp.Body, "AB\n")
	}
	fmt.Fprint(c, "0\r\nX-Up: 42\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil || resp.Trailer.Get("X-Sum") != "42" {
		t.Error(rest, err, resp.Trailer)
	}
}

// 100 MB each way, of which only buffers are held in memory.
func TestStream_keepsNothingOfALargeBody(t *testing.T) {
	const size = 100 << 20
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if n != size || err != nil {
			t.Error(n, err)
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
	})
	addr := serve(t, &Proxy{}, newTarget(t, up, ""))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+addr+"/link/crm/", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	runtime.ReadMemStats(&after)
	if n != size || err != nil {
		t.Error(n, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A stream may last longer than the total timeout; only a pause ends it.
func TestStream_endsByIdleAndNotByTotalTime(t *testing.T) {
	for name, test := range map[string]struct {
		kind  string
		every time.Duration
		left  int
		code  call.Code
		took  time.Duration
	}{
		"events":            {"Text/Event-Stream; charset=utf-8", 20 * time.Second, 10, "", 200 * time.Second},
		"events that pause": {"text/event-stream", 31 * time.Second, 10, call.UpstreamTimeout, 30 * time.Second},
		"gRPC":              {"application/grpc+proto", 20 * time.Second, 10, "", 200 * time.Second},
		"an ordinary one":   {"text/plain", 3 * time.Second, 10, call.UpstreamTimeout, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := newTargetOf(t, "timeout: 10s\ntimeouts: {idle: 30s}", target.Parts{Transport: trip(func(ctx context.Context, _ string, _ *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
					a := answer(200, "", "Content-Type", test.kind)
					a.Length, a.Body = -1, io.NopCloser(&slow{ctx: ctx, every: test.every, left: test.left})
					return a, nil
				})})
				began := time.Now()
				w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				if took := time.Since(began); took != test.took || record.Code != test.code || w.ended != (test.code == "") {
					t.Errorf("after %v: %+v, ended %v", took, record, w.ended)
				}
			})
		})
	}
}

// Bytes from the application keep a stream alive, too.
func TestStream_isNotIdleWhileItsRequestMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upload sync.WaitGroup
		to := newTargetOf(t, "timeouts: {idle: 30s}", target.Parts{Transport: streaming(func(ctx context.Context, out *http1.Outgoing) (*http1.Answer, error) {
			in, from := io.Pipe()
			upload.Go(func() {
				_, _ = io.Copy(io.Discard, out.Body)
				_ = out.Body.Close()
				_ = from.Close()
			})
			upload.Go(func() {
				<-ctx.Done()
				_ = from.CloseWithError(&http1.Error{Reason: http1.ReasonTimeout, Err: ctx.Err()})
			})
			a := answer(200, "", "Content-Type", "application/grpc")
			a.Length, a.Body = -1, in
			return a, nil
		})})
		r := request("POST", "/link/crm/", "", "Content-Type", "application/grpc")
		r.Length, r.Body = -1, &slow{ctx: t.Context(), every: 20 * time.Second, left: 5}
		w, record := makeCall(t.Context(), to, r)
		upload.Wait()
		if !w.ended || record.Code != "" {
			t.Error(w.ended, record)
		}
	})
}

// streaming is a transport that closes the request's body later, by itself.
type streaming func(context.Context, *http1.Outgoing) (*http1.Answer, error)

func (f streaming) RoundTrip(ctx context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
	return f(ctx, out)
}
func (streaming) Close() {}

func TestStream_endsAtTheTargetWhenTheApplicationLeaves(t *testing.T) {
	for name, answers := range map[string]bool{"before it answers": false, "while it does": true} {
		t.Run(name, func(t *testing.T) {
			came, left := make(chan struct{}), make(chan struct{})
			up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				if answers {
					w.Header().Set("Content-Type", "text/event-stream")
					fmt.Fprint(w, "data: 1\n\n")
					_ = http.NewResponseController(w).Flush()
				}
				close(came)
				<-r.Context().Done()
				close(left)
			})
			records := make(chan CallRecord, 1)
			addr := serve(t, &Proxy{Observe: func(r CallRecord) { records <- r }}, newTarget(t, up, ""))
			c := dial(t, addr)
			fmt.Fprint(c, "GET /link/crm/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
			<-came
			if answers {
				read(t, c, "HTTP/1.1 200 OK\r\n")
			}
			_ = c.Close()
			select {
			case <-left:
			case <-time.After(5 * time.Second):
				t.Fatal("the target was not told")
			}
			if r := <-records; r.Status != 499 || r.Code != "" || r.Attempts != 1 {
				t.Error(r)
			}
		})
	}
}

// rawUpstream serves each connection by f.
func rawUpstream(t *testing.T, f func(n int, c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }() // the test is over
				f(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

func TestStream_thatBreaksNeverLooksWhole(t *testing.T) {
	for name, head := range map[string]string{
		"with a length": "Content-Length: 10\r\n",
		"in chunks":     "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			up := rawUpstream(t, func(_ int, c net.Conn, in *bufio.Reader) {
				if _, err := http.ReadRequest(in); err == nil {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n5\r\nabcde", head)
				}
			})
			c := dial(t, serve(t, &Proxy{}, newTarget(t, up, "")))
			fmt.Fprint(c, "GET /link/crm/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("the application took %q for whole", got)
			}
		})
	}
}

// L11: how often a target executes a request, by its own count, whatever fails and
// whenever. https://github.com/golang/go/issues/19943
func TestRetry_overRealConnectionsMakesNoMoreThanIsSafe(t *testing.T) {
	for name, then := range map[string]string{
		"closed after the request":  "",
		"half a head":               "HTTP/1.1 200 OK\r\nX-",
		"garbage":                   "SSH-2.0-OpenSSH\r\n\r\n",
		"503":                       "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
		"an interim answer":         "HTTP/1.1 103 Early Hints\r\n\r\n",
		"a connection that is used": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", // then closed at the next request
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			executed := map[string]int{}
			up := rawUpstream(t, func(_ int, c net.Conn, in *bufio.Reader) {
				for i := 0; ; i++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					mu.Lock()
					executed[r.URL.Path+r.Method]++
					mu.Unlock()
					if i > 0 {
						return
					}
					if _, err := io.WriteString(c, then); err != nil || !strings.Contains(then, "Length") {
						return
					}
				}
			})
			addr := serve(t, &Proxy{}, newTarget(t, up, "circuitBreaker: {enabled: false}\nretry: {initialInterval: 1ms}"))
			for _, r := range []string{"POST /link/crm/1", "POST /link/crm/2", "PUT /link/crm/1", "PATCH /link/crm/2"} {
				c := dial(t, addr)
				fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", r)
				_, _ = io.ReadAll(c)
			}
			mu.Lock()
			defer mu.Unlock()
			for what, n := range executed {
				if n > 1 && what != "/1PUT" || n > 3 {
					t.Errorf("%s was executed %d times", what, n)
				}
			}
			if len(executed) != 4 {
				t.Errorf("executed: %v", executed)
			}
		})
	}
}
