package http

import (
	"context"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// seen is one request as the server received it.
type seen struct {
	r    *nethttp.Request
	body string
}

// sendOne sends an event with cfg, whose URL it sets, and returns the request that the
// server received.
func sendOne(t *testing.T, cfg SinkConfig, path string, e *cloudevent.Event) seen {
	t.Helper()
	got := make(chan seen, 1)
	srv := httptest.NewServer(nethttp.HandlerFunc(func(_ nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r, string(body)}
	}))
	defer srv.Close()
	cfg.URL = srv.URL + path
	if err := newSink(t, cfg).Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return <-got
}

func TestSink_structuredModeCarriesTheWholeEventAsJSON(t *testing.T) {
	e := order("42")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.SetExtension("tracestate", "a=b")
	cfg := sinkConfig("")
	cfg.Headers = map[string]string{"X-Team": "orders"}
	got := sendOne(t, cfg, "/callbacks?v=2", e)

	want := map[string]string{
		"Content-Type": "application/cloudevents+json; charset=utf-8", "Idempotency-Key": "42", "X-Team": "orders",
		"User-Agent": "fiso-connector-http", "Tracestate": "a=b",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	for name, value := range want {
		if v := got.r.Header.Values(name); len(v) != 1 || v[0] != value {
			t.Errorf("%s is %q; want %q once", name, v, value)
		}
	}
	if got.r.Method != "POST" || got.r.RequestURI != "/callbacks?v=2" {
		t.Errorf("request line is %s %s", got.r.Method, got.r.RequestURI)
	}
	var back cloudevent.Event
	if err := cloudevent.ParseJSON([]byte(got.body), &back); err != nil || back.ID != "42" || string(back.Data.Bytes()) != `{"n":1}` {
		t.Errorf("body %s: %v", got.body, err)
	}
}

func TestSink_binaryModeCarriesAttributesAsHeaders(t *testing.T) {
	e := order("id\r\nX-Evil: 1 é")
	e.Subject = `a "b"%`
	e.Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e.SetExtension("tenant", "blue")
	e.DataContentType = "text/plain; charset=utf-8"
	e.Data = cloudevent.Bytes([]byte("hello"))
	cfg := sinkConfig("")
	cfg.Mode, cfg.Method = ModeBinary, "PUT"
	cfg.Headers = map[string]string{"user-agent": "mine"}
	got := sendOne(t, cfg, "/", e)

	want := map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Ce-Specversion": "1.0", "Ce-Id": "id%0D%0AX-Evil:%201%20%C3%A9",
		"Idempotency-Key": "id%0D%0AX-Evil:%201%20%C3%A9", "Ce-Source": "/orders", "Ce-Type": "order.created",
		"Ce-Subject": "a%20%22b%22%25", "Ce-Time": "2026-01-02T03:04:05Z", "Ce-Tenant": "blue", "User-Agent": "mine",
		"X-Evil": "",
	}
	for name, value := range want {
		if v := got.r.Header.Get(name); v != value {
			t.Errorf("%s is %q; want %q", name, v, value)
		}
	}
	if got.body != "hello" || got.r.Method != "PUT" {
		t.Errorf("%s with body %q", got.r.Method, got.body)
	}
}

// U9: an event without a content type is sent without one.
func TestSink_binaryModeNamesNoContentTypeThatTheEventDoesNotHave(t *testing.T) {
	cfg := sinkConfig("")
	cfg.Mode = ModeBinary
	for name, data := range map[string]cloudevent.Data{"data": cloudevent.Bytes([]byte(`{"n":1}`)), "no bytes": cloudevent.Bytes([]byte{}), "none": {}} {
		e := order("1")
		e.DataContentType, e.Data = "", data
		got := sendOne(t, cfg, "/", e)
		if _, there := got.r.Header["Content-Type"]; there || got.body != string(data.Bytes()) {
			t.Errorf("%s: content type %q, body %q", name, got.r.Header.Get("Content-Type"), got.body)
		}
	}
	e := order("1")
	e.DataContentType = "text/plain\r\nX-Evil: 1"
	if got := sendOne(t, cfg, "/", e); got.r.Header.Get("X-Evil") != "" {
		t.Error("a content type broke out of its header")
	}
}

// U1: data that is not the JSON of its content type is refused before it is sent. Where
// the data is the body, it is sent byte for byte.
func TestSink_sendsNoDataThatCouldForgeTheEvent(t *testing.T) {
	const forged = `1,"type":"refund.approved","source":"/bank"`
	for _, mode := range []string{ModeStructured, ModeBatch, ModeBinary} {
		t.Run(mode, func(t *testing.T) {
			got := make(chan seen, 2)
			srv := httptest.NewServer(nethttp.HandlerFunc(func(_ nethttp.ResponseWriter, r *nethttp.Request) {
				body, _ := io.ReadAll(r.Body)
				got <- seen{r, string(body)}
			}))
			defer srv.Close()
			cfg := sinkConfig(srv.URL)
			cfg.Mode = mode
			s := newSink(t, cfg)
			e := order("1")
			e.Data = cloudevent.Bytes([]byte(forged))
			err := s.Send(t.Context(), e)
			if mode == ModeBinary {
				if r := <-got; err != nil || r.body != forged {
					t.Errorf("%v, body %q", err, r.body)
				}
				return
			}
			_, ok := errors.AsType[*cloudevent.EncodeError](err)
			want := `write the event as JSON: data is not what datacontenttype "application/json" says: not valid JSON at byte 1: there is more after the end of the value`
			if !ok || connector.ClassOf(err) != connector.Permanent || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want a permanent error with %s", err, want)
			}
			if err := s.Send(t.Context(), order("2")); err != nil { // on the same connection
				t.Fatal(err)
			}
			if r := <-got; strings.Contains(r.body, "refund") || !strings.Contains(r.body, `"id":"2"`) {
				t.Errorf("sent %s", r.body)
			}
		})
	}
}

func TestSink_sendsALargeBodyWhole(t *testing.T) {
	e := order("1")
	e.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", 3<<20) + `"`))
	got := sendOne(t, sinkConfig(""), "/", e)
	var back cloudevent.Event
	if err := cloudevent.ParseJSON([]byte(got.body), &back); err != nil || back.Data.Len() != e.Data.Len() {
		t.Errorf("%d bytes of data arrived: %v", back.Data.Len(), err)
	}
}

func TestSink_verdicts(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		retryOn      []Statuses
		rejectOn     []Statuses
		want         error // nil: delivered
		class        connector.Class
		after        time.Duration
		text         string
	}{
		{name: "200", answer: okAnswer},
		{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "202 without an end", answer: "HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\n"},
		{name: "interim first", answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okAnswer},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"},
		{name: "408", answer: status("408 Request Timeout", ""), want: io.EOF, class: connector.Temporary, text: "408 Request Timeout"},
		{name: "425", answer: status("425 Too Early", ""), want: io.EOF, class: connector.Temporary},
		{name: "429 with seconds", answer: status("429 Too Many Requests", "Retry-After: 7\r\n"), want: io.EOF, class: connector.Unavailable, after: 7 * time.Second},
		{name: "500", answer: status("500 Internal Server Error", ""), want: io.EOF, class: connector.Temporary},
		{name: "503 for a year", answer: status("503 Service Unavailable", "Retry-After: 31536000\r\n"), want: io.EOF, class: connector.Unavailable, after: 7 * 24 * time.Hour},
		{name: "status of no class", answer: status("799 Odd", ""), want: io.EOF, class: connector.Temporary, text: ": 799: because"},
		{name: "400", answer: status("400 Bad Request", ""), want: io.EOF, class: connector.Permanent, text: "400 Bad Request: because"},
		{name: "401", answer: status("401 Unauthorized", ""), want: io.EOF, class: connector.Permanent},
		{name: "404 with a wish", answer: status("404 Not Found", "Retry-After: 7\r\n"), want: io.EOF, class: connector.Permanent},
		{name: "304", answer: "HTTP/1.1 304 Not Modified\r\n\r\n", want: io.EOF, class: connector.Permanent},
		{name: "101", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", want: io.EOF, class: connector.Permanent},
		{name: "an interim answer of two lengths", answer: "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + okAnswer, want: io.EOF, class: connector.Unavailable, text: "not HTTP/1.1"},
		{name: "only interim", answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20), want: io.EOF, class: connector.Unavailable, text: "interim"},
		{name: "retryOn a code", answer: status("409 Conflict", "Retry-After: 2\r\n"), retryOn: []Statuses{{409, 409}}, want: io.EOF, class: connector.Temporary, after: 2 * time.Second},
		{name: "rejectOn a class", answer: status("501 Not Implemented", ""), rejectOn: []Statuses{{500, 599}}, want: io.EOF, class: connector.Permanent},
		{name: "not HTTP", answer: "SSH-2.0-OpenSSH\r\n\r\n", want: io.EOF, class: connector.Unavailable, text: "not HTTP/1.1"},
		{name: "header too large", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20<<10), want: io.EOF, class: connector.Unavailable, text: "larger than 16KiB"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPeer(t, says(row.answer))
			cfg := sinkConfig(p.url + "/path?q=1")
			cfg.RetryOn, cfg.RejectOn = row.retryOn, row.rejectOn
			err := newSink(t, cfg).Send(t.Context(), order("1"))
			if row.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantClass(t, err, row.class)
			if got := connector.RetryAfter(err); got != row.after {
				t.Errorf("retry after %v; want %v", got, row.after)
			}
			if text := err.Error(); !strings.HasPrefix(text, "POST "+p.url+"/path: ") || !strings.Contains(text, row.text) {
				t.Errorf("text is %q", text)
			}
		})
	}
}

// status returns an answer with a body.
func status(line, headers string) string {
	return "HTTP/1.1 " + line + "\r\n" + headers + "Content-Length: 9\r\n\r\n because\n"
}

func TestSink_statusCanBeReadFromTheError(t *testing.T) {
	p := newPeer(t, says(status("422 Unprocessable Entity", "")))
	err := newSink(t, sinkConfig(p.url)).Send(t.Context(), order("1"))
	if s, ok := errors.AsType[*StatusError](err); !ok || s.Status != 422 {
		t.Errorf("error is %#v", err)
	}
}

// F11: a redirect is not a delivery, and following one turns a POST into a GET
// without its event. https://github.com/formancehq/ledger/issues/1990
// https://github.com/sourcegraph/sourcegraph-public-snapshot/issues/46346
func TestSink_neverFollowsARedirect(t *testing.T) {
	for _, code := range []string{"301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"} {
		other := newPeer(t, says(okAnswer))
		p := newPeer(t, says("HTTP/1.1 "+code+"\r\nLocation: "+other.url+"/login?token=canary\r\nContent-Length: 0\r\n\r\n"))
		err := newSink(t, sinkConfig(p.url)).Send(t.Context(), order("1"))
		wantClass(t, err, connector.Permanent)
		host := strings.TrimPrefix(other.url, "http://")
		if text := err.Error(); !strings.Contains(text, "it points to host "+host) || strings.Contains(text, "canary") {
			t.Errorf("text is %q", text)
		}
		if n := other.requests.Load(); n != 0 {
			t.Errorf("%s: %d requests reached the place it points to", code, n)
		}
	}
}

// L11: net/http retries on its own, and more often with Idempotency-Key. Here the
// server counts requests. https://github.com/golang/go/issues/19943
func TestSink_isExecutedOnceWhateverBreaksOnANewConnection(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		t.Run(method, func(t *testing.T) {
			p := newPeer(t, func(int64, net.Conn, *nethttp.Request) bool { return false })
			cfg := sinkConfig(p.url)
			cfg.Method = method
			err := newSink(t, cfg).Send(t.Context(), order("1"))
			wantClass(t, err, connector.Unavailable)
			if !strings.Contains(err.Error(), "closed before an answer") {
				t.Errorf("text is %q", err)
			}
			if n := p.requests.Load(); n != 1 {
				t.Errorf("executed %d times", n)
			}
		})
	}
}

func TestSink_usesAConnectionAgainOnlyWhenTheAnswerIsOver(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		conns        int64
	}{
		{"all read", okAnswer, 1},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 1},
		{"chunked with a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", 1},
		{"two answers to one request", okAnswer + okAnswer, 3},
		{"bytes after the answer", okAnswer + "x", 3},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 3},
		{"close among others", "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 0\r\n\r\n", 3},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 3},
		{"more than is read", "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000), 3},
		{"a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPeer(t, says(row.answer))
			s := newSink(t, sinkConfig(p.url))
			for range 3 {
				if err := s.Send(t.Context(), order("1")); err != nil {
					t.Fatal(err)
				}
			}
			if n := p.conns.Load(); n != row.conns {
				t.Errorf("%d connections for 3 calls; want %d", n, row.conns)
			}
		})
	}
}

func TestSink_readsTheAnswerOfAServerThatDidNotReadTheRequest(t *testing.T) {
	srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Connection", "close")
		nethttp.Error(w, "too large for us", nethttp.StatusRequestEntityTooLarge)
	}))
	defer srv.Close()
	e := order("1")
	e.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", 4<<20) + `"`))
	err := newSink(t, sinkConfig(srv.URL)).Send(t.Context(), e)
	if s, ok := errors.AsType[*StatusError](err); !ok || s.Status != 413 {
		// The kernel may discard the answer with the rest of the request.
		wantClass(t, err, connector.Unavailable)
	}
}

// RFC 9112, section 9.3: a server that refuses a request need not read it or close.
func TestSink_hearsARefusalWhileItStillSends(t *testing.T) {
	large := order("1")
	large.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", 16<<20) + `"`))
	for _, row := range []struct {
		name, answer, want string
		used               bool
	}{
		{"on a new connection", status("413 Content Too Large", ""), "413 ", false},
		{"on a used connection", status("413 Content Too Large", ""), "413 ", true},
		{"200 is no delivery of half a request", okAnswer, "the server answered before it read the whole request", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			ends := make(chan struct{})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer close(ends)
			defer func() { _ = ln.Close() }()
			wg.Go(func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					wg.Go(func() {
						defer func() { _ = c.Close() }()
						buf := make([]byte, 64<<10)
						if n, _ := c.Read(buf); strings.HasSuffix(string(buf[:n]), `{"n":1}}`) {
							_, _ = io.WriteString(c, okAnswer)
							_, _ = c.Read(buf)
						}
						_, _ = io.WriteString(c, row.answer)
						<-ends
					})
				}
			})
			s := newSink(t, sinkConfig("http://"+ln.Addr().String()))
			if row.used {
				if err := s.Send(t.Context(), order("0")); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			if err := s.Send(t.Context(), large); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error is %v; want %q", err, row.want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestSink_aCallEndsWhenItsContextDoes(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(int64, net.Conn, *nethttp.Request) bool { <-release; return false })
	defer close(release)
	for _, row := range []struct {
		name string
		dial func(ctx context.Context, network, address string) (net.Conn, error)
		one  bool // there is one connection, and another call has it
	}{
		{name: "waiting for an answer"},
		{name: "dialling", dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		{name: "waiting for a connection", one: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := sinkConfig(p.url)
			cfg.Timeout, cfg.ConnectTimeout = time.Hour, time.Hour // only the context ends the call, however busy the machine is
			if row.one {
				cfg.MaxConnections = 1
			}
			s := newSink(t, cfg, SinkOptions{Dial: row.dial})
			ctx, cancel := context.WithCancel(t.Context())
			n := 1
			if row.one {
				n = 2
			}
			errs := make(chan error, n)
			for range n {
				go func() { errs <- s.Send(ctx, order("1")) }()
			}
			eventually(t, "the call is under way", func() bool { return len(s.slots) > 0 })
			cancel()
			for range n {
				err := <-errs
				wantClass(t, err, connector.Interrupted)
			}
			wantClass(t, s.Send(ctx, order("1")), connector.Interrupted)

			ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			wantClass(t, s.Send(ctx, order("1")), connector.Temporary)
		})
	}
}

func TestSink_aCallEndsAfterItsTimeout(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(_ int64, c net.Conn, _ *nethttp.Request) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 20") // half an answer
		<-release
		return false
	})
	defer close(release)
	cfg := sinkConfig(p.url)
	cfg.Timeout, cfg.MaxConnections = 20*time.Millisecond, 1
	s := newSink(t, cfg)
	errs := make(chan error, 2)
	for range 2 { // one call waits for the answer, the other for the connection
		go func() { errs <- s.Send(t.Context(), order("1")) }()
	}
	for range 2 {
		err := <-errs
		wantClass(t, err, connector.Unavailable)
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("error is %v", err)
		}
	}
}

func TestSink_aBodyThatNeverEndsDoesNotChangeTheVerdict(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(_ int64, c net.Conn, _ *nethttp.Request) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		<-release
		return false
	})
	defer close(release)
	cfg := sinkConfig(p.url)
	cfg.Timeout = 50 * time.Millisecond
	if err := newSink(t, cfg).Send(t.Context(), order("1")); err != nil {
		t.Error(err)
	}
}

func TestSink_keepsToItsNumberOfConnections(t *testing.T) {
	var open, most atomic.Int64
	p := newPeer(t, func(_ int64, c net.Conn, _ *nethttp.Request) bool {
		n := open.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer open.Add(-1)
		_, err := io.WriteString(c, okAnswer)
		return err == nil
	})
	cfg := sinkConfig(p.url)
	cfg.MaxConnections = 3
	s := newSink(t, cfg)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				if err := s.Send(t.Context(), order("1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if p.conns.Load() > 3 || most.Load() > 3 || p.requests.Load() != 640 {
		t.Errorf("%d connections, %d at once, %d requests", p.conns.Load(), most.Load(), p.requests.Load())
	}
}

func TestSink_closeWaitsForCallsUnderWay(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(_ int64, c net.Conn, _ *nethttp.Request) bool {
		<-release
		_, err := io.WriteString(c, okAnswer)
		return err == nil
	})
	s, err := NewSink(sinkConfig(p.url), SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- s.Send(t.Context(), order("1")) }()
	eventually(t, "the request arrives", func() bool { return p.requests.Load() == 1 })
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- s.Close(t.Context()) }()
	}
	eventually(t, "closing begins", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closed
	})
	if err := s.Send(t.Context(), order("2")); !errors.Is(err, connector.ErrClosed) {
		t.Errorf("send after close: %v", err)
	}
	close(release)
	for _, c := range []chan error{sent, closed, closed} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestSink_closeCutsCallsOffWhenItsTimeIsUp(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(int64, net.Conn, *nethttp.Request) bool { <-release; return false })
	defer close(release)
	s, err := NewSink(sinkConfig(p.url), SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- s.Send(t.Context(), order("1")) }()
	eventually(t, "the request arrives", func() bool { return p.requests.Load() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if err := <-sent; !errors.Is(err, connector.ErrClosed) {
		t.Errorf("the call that was cut off: %v", err)
	}
}

func TestSink_headersOfAnEventGoWithItsRequestAlone(t *testing.T) {
	got := make(chan nethttp.Header, 2)
	srv := httptest.NewServer(nethttp.HandlerFunc(func(_ nethttp.ResponseWriter, r *nethttp.Request) { got <- r.Header }))
	defer srv.Close()
	value := "a"
	failed := errors.New("no header")
	s, err := NewSink(sinkConfig(srv.URL), SinkOptions{Headers: func(_ context.Context, e *cloudevent.Event) ([]connector.Header, error) {
		if value == "" {
			return nil, failed
		}
		return []connector.Header{{Key: "X-Tenant", Value: []byte(value + e.ID)}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }()
	for _, id := range []string{"1", "2"} {
		if err := s.Send(t.Context(), order(id)); err != nil {
			t.Fatal(err)
		}
		if h := <-got; h.Get("X-Tenant") != "a"+id || h.Get("Idempotency-Key") != id {
			t.Errorf("headers %v", h)
		}
	}
	value = "a\r\nX-Forged: 1"
	if err := s.Send(t.Context(), order("3")); !connector.IsUnsendable(err) || !strings.Contains(err.Error(), "header X-Tenant: the value holds a line break") {
		t.Errorf("a line break: %v", err)
	}
	value = ""
	if err := s.Send(t.Context(), order("4")); !errors.Is(err, failed) {
		t.Errorf("a header that fails: %v", err)
	}
	if len(got) != 0 {
		t.Error("a request was sent all the same")
	}
}
