package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Slow applications (https://nvd.nist.gov/vuln/detail/CVE-2023-44487).

// pipe serves one end of a pipe and returns the other. gone is closed when the server is
// done.
func pipe(t *testing.T, s *Server) (client net.Conn, gone chan struct{}) {
	t.Helper()
	if s.Refuse == nil {
		s.Refuse = refuse
	}
	client, server := net.Pipe()
	gone = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(gone)
		s.ServeConn(ctx, server)
	}()
	t.Cleanup(func() {
		_ = client.Close()
		cancel()
		<-gone
	})
	return client, gone
}

// after measures the time until a channel is closed.
func after(c <-chan struct{}) time.Duration {
	begin := time.Now()
	<-c
	return time.Since(begin)
}

// L14, https://nvd.nist.gov/vuln/detail/CVE-2007-6750: a Go server has no timeouts by
// default.
func TestServer_endsConnectionsThatAreSlow(t *testing.T) {
	limits := Limits{HeadTimeout: 3 * time.Second, Idle: 20 * time.Second, Body: 5 * time.Second, Write: 8 * time.Second}
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
	for _, row := range []struct {
		name, raw string
		read      bool // the application reads its answer
		takes     time.Duration
		answer    string
	}{
		{"nothing is sent", "", true, limits.HeadTimeout, ""},
		{"half a head", "GET / HT", true, limits.HeadTimeout, "HTTP/1.1 408 Request Timeout"},
		{"half an empty line", "\r", true, limits.HeadTimeout, "HTTP/1.1 408 Request Timeout"},
		{"half of HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM", true, limits.HeadTimeout, ""},
		{"no body", post, true, limits.Body, "i/o timeout"},
		{"half a body", post + "he", true, limits.Body, "i/o timeout"},
		{"half a chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5", true, limits.Body, "i/o timeout"},
		{"an answer that is not read", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, limits.Write, ""},
		{"nothing more after an answer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, limits.Idle, "GET / "},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, gone := pipe(t, &Server{Limits: limits, Handler: echo, HTTP2: func(net.Conn) { t.Error("it is HTTP/2") }})
				answer := make(chan string, 1)
				if row.read {
					go func() {
						b, _ := io.ReadAll(c)
						answer <- string(b)
					}()
				}
				if row.raw != "" { // a pipe delivers empty writes, too
					_, _ = io.WriteString(c, row.raw)
				}
				took := after(gone)
				if took < row.takes || took > row.takes+time.Second {
					t.Errorf("it took %v, want %v", took, row.takes)
				}
				if row.read {
					if got := <-answer; !strings.Contains(got, row.answer) || row.answer == "" && got != "" {
						t.Errorf("answered %q, want %q", got, row.answer)
					}
				}
			})
		})
	}
}

func TestServer_endsADripOfAHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gone := pipe(t, &Server{Handler: echo})
		go func() { _, _ = io.Copy(io.Discard, c) }()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		dripping.Go(func() {
			for {
				if _, err := io.WriteString(c, "G"); err != nil {
					return
				}
				time.Sleep(time.Second) // of fake time
			}
		})
		if took := after(gone); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestServer_outlivesHundredsOfHalfOpenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: echo}
		var all sync.WaitGroup
		for range 500 {
			c, gone := pipe(t, s)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost:")
			all.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				<-gone
			})
		}
		c, _ := pipe(t, s)
		a := newApp(t, c)
		a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		a.expect(200, "GET / ")
		begin := time.Now()
		all.Wait()
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("they stayed for %v", took)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.conns) != 1 {
			t.Errorf("%d connections are left", len(s.conns))
		}
	})
}

// waiting is a handler that waits for the end of its context, and reports it.
func waiting(ended chan<- time.Duration, most time.Duration) handlerFunc {
	return func(ctx context.Context, w ResponseWriter, r *Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begin := time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(most):
			_ = reply(w, 200, "late "+r.Target)
		}
		ended <- time.Since(begin)
	}
}

func TestServer_cancelsACallWhoseApplicationGoesAway(t *testing.T) {
	for _, row := range []struct{ name, raw string }{
		{"without a body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"with a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan time.Duration, 1)
				c, gone := pipe(t, &Server{Handler: waiting(ended, time.Hour)})
				_, _ = io.WriteString(c, row.raw)
				time.Sleep(10 * time.Second) // of fake time
				_ = c.Close()
				if took := <-ended; took != 10*time.Second {
					t.Errorf("it was cancelled after %v", took)
				}
				<-gone
			})
		})
	}
}

// The timer of the watch starts anew for each call.
func TestServer_watchesACallOnlyOnceItTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, ended := make(chan time.Time, 1), make(chan time.Duration, 1)
		c, gone := pipe(t, &Server{Handler: handlerFunc(func(ctx context.Context, w ResponseWriter, r *Request) {
			if r.Target == "/long" {
				began <- time.Now()
				<-ctx.Done()
				ended <- time.Since(<-began)
				return
			}
			time.Sleep(watchAfter / 2) // of fake time
			_ = reply(w, 200, "fine")
		})})
		a := newApp(t, c)
		_ = c.SetDeadline(time.Time{})
		for range 3 {
			a.say("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
			a.expect(200, "fine")
			a.say("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
			a.expect(200, "fine")
			time.Sleep(watchAfter)
		}
		a.say("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
		a.expect(200, "fine")
		a.say("GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		_ = c.Close()
		if took := <-ended; took != watchAfter {
			t.Errorf("it was cancelled after %v", took)
		}
		<-gone
	})
}

func TestServer_doesNotCancelACallWhenTheNextRequestArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 2)
		c, _ := pipe(t, &Server{Handler: waiting(ended, time.Minute)})
		a := newApp(t, c)
		_ = c.SetDeadline(time.Time{})
		a.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(10 * time.Second) // of fake time
		a.say("GET /2 HTTP/1.1\r\nHo")
		time.Sleep(10 * time.Second)
		go a.say("st: a\r\n\r\n")
		a.expect(200, "late /1")
		a.expect(200, "late /2")
		for range 2 {
			if took := <-ended; took != time.Minute {
				t.Errorf("it ended after %v", took)
			}
		}
	})
}

func TestServer_interruptDoesNotCancelACallThatIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t, &Server{Handler: handlerFunc(func(ctx context.Context, w ResponseWriter, r *Request) {
			time.Sleep(time.Second) // of fake time; the watch has started
			r.Interrupt()
			time.Sleep(time.Second)
			if ctx.Err() != nil {
				t.Error("the call was cancelled")
			}
			_ = reply(w, 200, "fine")
		})})
		a := newApp(t, c)
		for range 2 {
			a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			a.expect(200, "fine")
		}
	})
}

func TestServer_shutdownClosesIdleConnectionsAndWaitsForBusyOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		s := &Server{Handler: waiting(ended, time.Minute)}
		idle, idleGone := pipe(t, s)
		busy, _ := pipe(t, s)
		a := newApp(t, busy)
		_ = busy.SetDeadline(time.Time{})
		a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		done := make(chan error, 1)
		begin := time.Now()
		go func() { done <- s.Shutdown(t.Context()) }()
		if took := after(idleGone); took != 0 {
			t.Errorf("the idle connection stayed for %v", took)
		}
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the idle connection: %v", err)
		}
		if res := a.expect(200, "late /"); !res.Close {
			t.Error("the last answer does not say that the connection ends")
		}
		if err := <-done; err != nil || time.Since(begin) != time.Minute {
			t.Errorf("shut down after %v: %v", time.Since(begin), err)
		}
		late, lateGone := pipe(t, s)
		<-lateGone
		if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a connection that came later: %v", err)
		}
	})
}

func TestServer_shutdownEndsWhatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		s := &Server{Handler: waiting(ended, time.Hour)}
		c, gone := pipe(t, s)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shut down: %v", err)
		}
		if took := <-ended; took != 5*time.Second {
			t.Errorf("the call ended after %v", took)
		}
		<-gone
	})
}

// A request that arrives while the server stops is served, or its connection is closed.
// It is not answered 408.
func TestServer_shutdownDoesNotBreakARequestThatJustArrived(t *testing.T) {
	for range 200 {
		s := &Server{Handler: echo, Refuse: refuse}
		client, server := net.Pipe()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			s.ServeConn(context.Background(), server)
		}()
		eventually(t, "the connection is known", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.conns) == 1
		})
		go func() { _, _ = io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") }()
		stopped := make(chan error, 1)
		go func() { stopped <- s.Shutdown(context.Background()) }()
		b, _ := io.ReadAll(client)
		if len(b) > 0 && !strings.HasSuffix(string(b), "POST / hello") {
			t.Fatalf("answered %q", b)
		}
		<-gone
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
	}
}

func TestLimits_haveDefaults(t *testing.T) {
	want := Limits{Head: 32 << 10, HeadSetting: "the server takes", HeadTimeout: 10 * time.Second, Idle: 2 * time.Minute, Body: 30 * time.Second, Write: 30 * time.Second}
	if got := (Limits{}).withDefaults(); got != want {
		t.Errorf("got %+v", got)
	}
	own := Limits{Head: 1, HeadSetting: "x", HeadTimeout: 2, Idle: 3, Body: 4, Write: 5}
	if got := own.withDefaults(); got != own {
		t.Errorf("got %+v", got)
	}
}

func TestTransport_limitsTime(t *testing.T) {
	for _, row := range []struct {
		name   string
		cfg    TransportConfig
		target string // the part of its answer that it sends
		body   bool   // the request has one that streams
		takes  time.Duration
		inBody bool
	}{
		{"no head", TransportConfig{ResponseHeader: 7 * time.Second}, "", false, 7 * time.Second, false},
		{"half a head", TransportConfig{ResponseHeader: 7 * time.Second}, "HTTP/1.1 200", false, 7 * time.Second, false},
		{"interim answers do not help", TransportConfig{ResponseHeader: 7 * time.Second}, "HTTP/1.1 103 x\r\n\r\n", false, 7 * time.Second, false},
		{"no head after a body", TransportConfig{ResponseHeader: 7 * time.Second}, "", true, 7 * time.Second, false},
		{"no body", TransportConfig{BodyIdle: 9 * time.Second, ResponseHeader: time.Second}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 9 * time.Second, true},
		{"half a body", TransportConfig{BodyIdle: 9 * time.Second}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", false, 9 * time.Second, true},
		{"half a chunk", TransportConfig{BodyIdle: 9 * time.Second}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n1", false, 9 * time.Second, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				row.cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return near, nil }
				tr := transport(t, row.cfg)
				go func() {
					_, _ = far.Read(make([]byte, 4096))
					if row.target != "" {
						_, _ = io.WriteString(far, row.target)
					}
					_, _ = io.Copy(io.Discard, far)
				}()
				out := get("/")
				if row.body {
					out, _ = post(strings.NewReader("hello"), -1)
				}
				begin := time.Now()
				a, err := tr.RoundTrip(t.Context(), "x:1", out, nil)
				if row.inBody {
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.ReadAll(a.Body)
					_ = a.Body.Close()
				}
				var failed *Error
				if !errors.As(err, &failed) || failed.Reason != ReasonTimeout || !failed.Sent || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took != row.takes {
					t.Errorf("it took %v, want %v", took, row.takes)
				}
			})
		})
	}
}

func TestTransport_limitsTheTimeToConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := transport(t, TransportConfig{ConnectTimeout: 4 * time.Second, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		begin := time.Now()
		out, body := post(strings.NewReader("x"), 1)
		_, err := tr.RoundTrip(t.Context(), "x:1", out, nil)
		var failed *Error
		if !errors.As(err, &failed) || failed.Reason != ReasonConnect || failed.Sent || body.closed.Load() != 1 || time.Since(begin) != 4*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestPool_closesWhatWasUnusedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{idleTimeout: 10 * time.Second, limit: 3}
		var fars []net.Conn
		put := func(endpoint string) {
			near, far := net.Pipe()
			fars = append(fars, far)
			p.put(newClientConn(nil, endpoint, near, newSocket(near), time.Now()))
		}
		closed := func(i int) bool {
			_ = fars[i].SetReadDeadline(time.Now())
			_, err := fars[i].Read(make([]byte, 1))
			return errors.Is(err, io.EOF)
		}
		put("a:1")
		time.Sleep(6 * time.Second) // of fake time
		put("a:1")
		put("b:1")
		put("b:1") // above the limit
		if n, _ := kept(p); !closed(3) || n != 3 {
			t.Errorf("%d are kept", n)
		}
		time.Sleep(5 * time.Second)
		if !closed(0) || closed(1) || closed(2) {
			t.Error("after 11 s not the oldest one is closed")
		}
		if c := p.take("b:1"); c == nil || p.take("b:1") != nil {
			t.Error("what is left of b is not to be had, or twice")
		}
		time.Sleep(10 * time.Second)
		if n, lists := kept(p); !closed(1) || n != 0 || lists != 0 {
			t.Errorf("%d are left, in %d lists", n, lists)
		}
		put("a:1")
		p.close()
		put("a:1")
		if !closed(4) || !closed(5) || p.take("a:1") != nil {
			t.Error("a closed pool keeps connections")
		}
	})
}
