package http1

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

// reason and sent are those of the Error.
func reason(t *testing.T, err error) (r Reason, sent bool) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, which is no *Error", err)
	}
	return failed.Reason, failed.Sent
}

func TestTransport_writesRequests(t *testing.T) {
	for _, row := range []struct {
		name string
		out  Outgoing
		want string
	}{
		{"GET", Outgoing{Method: "GET", Path: "/a", Query: "b=%2F", Host: "x:1", Header: Header{{Name: "A", Value: "b"}}}, "GET /a?b=%2F HTTP/1.1\r\nHost: x:1\r\nA: b\r\n\r\n"},
		{"an empty query", Outgoing{Method: "GET", Path: "/", ForceQuery: true, Host: "x"}, "GET /? HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"POST without a body", Outgoing{Method: "POST", Path: "/", Host: "x"}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"},
		{"a body at hand", Outgoing{Method: "PUT", Path: "/", Host: "x", Kept: []byte("hi"), Length: 2}, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"},
		{"an upgrade", Outgoing{Method: "GET", Path: "/", Host: "x", Upgrade: "websocket"}, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"that trailers are understood", Outgoing{Method: "GET", Path: "/", Host: "x", Header: Header{{Name: "TE", Value: "trailers"}}}, "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
		{"a query beyond ASCII", Outgoing{Method: "GET", Path: "/", Query: "q=ä", Host: "x"}, "GET /?q=ä HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a stream", Outgoing{Method: "POST", Path: "/", Host: "x", Length: -1}, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := string(appendRequest(nil, &row.out)) + string(row.out.Kept); got != row.want {
				t.Errorf("wrote %q, want %q", got, row.want)
			}
		})
	}
}

// HTTP/2 and credentials allow bytes that would end a line of HTTP/1.1 early
// (https://portswigger.net/research/http2).
func TestTransport_sendsNothingThatWouldSplitARequest(t *testing.T) {
	tr := transport(t, TransportConfig{Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("it connects")
		return nil, io.EOF
	}})
	for _, row := range []struct {
		name   string
		change func(o *Outgoing)
		err    error
	}{
		{"a method with space", func(o *Outgoing) { o.Method = "GET /x" }, errMethod},
		{"no method", func(o *Outgoing) { o.Method = "" }, errMethod},
		{"CONNECT", func(o *Outgoing) { o.Method = "CONNECT" }, errMethod},
		{"a path with space", func(o *Outgoing) { o.Path = "/a HTTP/1.1" }, errTarget},
		{"no path", func(o *Outgoing) { o.Path = "" }, errTarget},
		{"a relative path", func(o *Outgoing) { o.Path = "a" }, errTarget},
		{"a query with an end of line", func(o *Outgoing) { o.Query = "a\r\nB: c" }, errTarget},
		{"a query with a fragment", func(o *Outgoing) { o.Query = "a#b" }, errTarget},
		{"a host with an end of line", func(o *Outgoing) { o.Host = "a\r\nB: c" }, errHost},
		{"a protocol with an end of line", func(o *Outgoing) { o.Upgrade = "a\r\nB: c" }, errValue},
		{"a value with an end of line", func(o *Outgoing) { o.Header.Add("A", "b\r\nC: d") }, errValue},
		{"a name with a colon", func(o *Outgoing) { o.Header.Add("A:", "b") }, errName},
		{"no name", func(o *Outgoing) { o.Header.Add("", "b") }, errName},
		{"a length", func(o *Outgoing) { o.Header.Add("content-length", "5") }, errFraming},
		{"a coding", func(o *Outgoing) { o.Header.Add("Transfer-Encoding", "chunked") }, errFraming},
		{"another host", func(o *Outgoing) { o.Header.Add("Host", "b") }, errFraming},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, body := post(strings.NewReader("hi"), 2)
			row.change(out)
			_, err := tr.RoundTrip(t.Context(), "x:1", out, nil)
			if r, sent := reason(t, err); r != ReasonUnfit || sent || !errors.Is(err, row.err) || body.closed.Load() != 1 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTransport_reusesAConnection(t *testing.T) {
	for _, row := range []struct {
		name, answer, method string
		status               int
		reuses               bool
	}{
		{"a length", ok, "GET", 200, true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "GET", 200, true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, true},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", 304, true},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", 200, true},
		{"HEAD with chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, true},
		{"HTTP/1.0, keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, true},
		{"after interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nKeep-Alive: x\r\n\r\n" + ok, "GET", 200, true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, false},
		{"204 that announces a body", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", "GET", 204, false},
		{"204 that announces chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 204, false},
		{"extra bytes", ok + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "GET", 200, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				for p.request() != nil {
					p.say(row.answer)
				}
			})
			tr := transport(t, TransportConfig{})
			for range 3 {
				out := get("/")
				out.Method = row.method
				var hints []string
				a, err := tr.RoundTrip(t.Context(), g.addr, out, func(status int, h Header) {
					hints = append(hints, http.StatusText(status)+h.Get("Link")+h.Get("Keep-Alive"))
				})
				if body := read(t, a, err); a.Status != row.status || body != "" && body != "hi" {
					t.Fatalf("answered %d %q", a.Status, body)
				}
				if strings.Contains(row.name, "interim") && (len(hints) != 1 || hints[0] != "Early Hintsa") {
					t.Errorf("interim answers: %q", hints)
				}
			}
			want := map[bool]int32{true: 1, false: 3}[row.reuses]
			if n := g.accepted.Load(); n != want {
				t.Errorf("%d connections, want %d", n, want)
			}
		})
	}
}

func TestTransport_readsUntilTheEndOfTheConnection(t *testing.T) {
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 100_000))
	})
	tr := transport(t, TransportConfig{})
	a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
	if body := read(t, a, err); len(body) != 100_000 || a.Length != -1 {
		t.Errorf("%d bytes, length %d", len(body), a.Length)
	}
	if n, _ := kept(&tr.pool); n != 0 {
		t.Error("a connection that ended is kept")
	}
	if _, err := a.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body can be read")
	}
	if err := a.Body.Close(); err != nil {
		t.Error(err)
	}
}

// An event must not wait in a buffer for the next one: the proxy flushes when the next
// Read would wait.
func TestTransport_saysWhetherMoreIsThere(t *testing.T) {
	for _, row := range []struct {
		name, data string
		ready      bool
	}{
		{"nothing", "", false},
		{"the end of the chunk", "\r\n", false},
		{"half of it", "\r", false},
		{"half a size", "\r\n5", false},
		{"a size alone", "\r\n5\r\n", false},
		{"a byte of the next chunk", "\r\n5\r\nx", true},
		{"half of the last chunk", "\r\n0\r\n", false},
		{"half of a trailer", "\r\n0\r\nA: b\r\n", false},
		{"the last chunk", "\r\n0\r\n\r\n", true},
		{"a trailer", "\r\n0\r\nA: b\r\n\r\n", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := &buffer{conn: strings.NewReader("5\r\nevent" + row.data), data: make([]byte, 64)}
			d := body{b: b}
			d.reset(byChunks, 0)
			if d.ready() {
				t.Error("ready before anything has come")
			}
			p := make([]byte, 5)
			if n, err := d.Read(p[:3]); n != 3 || err != nil || !d.ready() {
				t.Fatalf("read %d, %v, ready %v", n, err, d.ready())
			}
			if n, err := d.Read(p); n != 2 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
			if d.ready() != row.ready {
				t.Errorf("ready: %v", d.ready())
			}
		})
	}
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")
		p.hang()
	})
	a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, get("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if n, err := io.ReadFull(a.Body, b); string(b[:n]) != "event" || err != nil || a.Ready() {
		t.Errorf("read %q, %v, ready %v", b[:n], err, a.Ready())
	}
	_ = a.Body.Close()
}

func TestTransport_dropsHopByHopFields(t *testing.T) {
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: X-Named, close\r\nX-Named: 2\r\nKeep-Alive: 3\r\nProxy-Connection: 4\r\nProxy-Authenticate: 5\r\nTE: 6\r\nTrailer: X-T\r\nUpgrade: 8\r\nContent-Length: 0\r\nX-B: 9\r\n\r\n")
	})
	a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, get("/"), nil)
	read(t, a, err)
	if len(a.Header) != 2 || a.Header.Get("X-A") != "1" || a.Header.Get("X-B") != "9" {
		t.Errorf("came: %v", a.Header)
	}
}

func TestTransport_noticesConnectionsThatWentStale(t *testing.T) {
	stream := func() *Outgoing { out, _ := post(strings.NewReader("once"), 4); return out }
	whole := func() *Outgoing {
		return &Outgoing{Method: "POST", Path: "/", Host: "x", Kept: []byte("once"), Length: 4}
	}
	for _, row := range []struct {
		name, last string
		out        func() *Outgoing
	}{
		{"closed, before a body that streams", "", stream},
		{"closed, before a whole request", "", whole},
		{"closed with a word, before a body that streams", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", stream},
		{"closed with a word, before a whole request", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", whole},
	} {
		t.Run(row.name, func(t *testing.T) {
			stale := make(chan struct{})
			g := newTarget(t, func(p *peer) {
				p.request()
				p.say(ok)
				if p.n == 0 {
					<-stale
					p.say(row.last)
					return
				}
				p.request()
			})
			tr := transport(t, TransportConfig{})
			a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
			read(t, a, err)
			tr.pool.mu.Lock()
			c := tr.pool.idle[g.addr][0]
			tr.pool.mu.Unlock()
			c.ctx = t.Context()
			if !alive(c) {
				t.Error("an open connection is taken for dead")
			}
			close(stale)
			eventually(t, "the connection is stale", func() bool { return !alive(c) })
			a, err = tr.RoundTrip(t.Context(), g.addr, row.out(), nil)
			read(t, a, err)
			if g.accepted.Load() != 2 || g.requests.Load() != 2 {
				t.Errorf("%d connections, %d requests", g.accepted.Load(), g.requests.Load())
			}
		})
	}
}

// alive reports whether an unused connection is open and silent.
func alive(c *clientConn) bool { return c.look() == nil }

func TestAlive_knowsConnectionsThatAreClosed(t *testing.T) {
	c, err := net.Dial("tcp", newTarget(t, func(p *peer) { p.request() }).addr)
	if err != nil {
		t.Fatal(err)
	}
	u := newClientConn(NewTransport(TransportConfig{}), "", c, newSocket(c), time.Now())
	u.ctx = t.Context()
	if !alive(u) {
		t.Error("an open one is dead")
	}
	_ = c.Close()
	if alive(u) {
		t.Error("a closed one is alive")
	}
}

// L7, https://github.com/golang/go/issues/71988: the same for answers.
func TestTransport_refusesAnswersThatCouldBeReadInTwoWays(t *testing.T) {
	for _, row := range []struct{ name, answer string }{
		{"garbage", "220 smtp.example.org ESMTP\r\n\r\n"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!"},
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"a bare carriage return", "HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nhi"},
		{"a head that is too large", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"},
		{"101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"interim answers without an end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1)},
		{"an interim answer with a body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nhi"},
		{"an interim answer with chunks", "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				p.request()
				_, _ = io.WriteString(p.Conn, row.answer) // the client may refuse it early
				p.request()
			})
			tr := transport(t, TransportConfig{})
			_, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
			if r, sent := reason(t, err); r != ReasonGarbage || !sent {
				t.Errorf("got %v", err)
			}
			if n, _ := kept(&tr.pool); n != 0 {
				t.Error("the connection is kept")
			}
			want := map[string]int{"a length and chunks": 200, "another coding": 200, "chunks in HTTP/1.0": 200, "101 that nobody asked for": 101}
			if failed, _ := errors.AsType[*Error](err); failed.Status != want[row.name] {
				t.Errorf("the status is said to be %d", failed.Status)
			}
		})
	}
	t.Run("101 to another protocol", func(t *testing.T) {
		g := newTarget(t, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		})
		out := get("/")
		out.Upgrade = "websocket"
		_, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, out, nil)
		if r, _ := reason(t, err); r != ReasonGarbage {
			t.Errorf("got %v", err)
		}
	})
}

// L7, https://github.com/golang/go/issues/71988: an answer that others may read
// differently is read as the RFC says, and the connection is closed.
func TestTransport_readsNothingMoreBehindAnAnswerThatOthersMayReadDifferently(t *testing.T) {
	for _, row := range []struct{ name, answer, header string }{
		{"bare line feeds (2.2)", "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nhi", "[{X-A 1}]"},
		{"one bare line feed (2.2)", "HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 2\r\n\r\nhi", "[{X-A 1}]"},
		{"a folded line (5.2)", "HTTP/1.1 200 OK\r\nX-A: 1 \r\n \t2\r\n  3\r\nContent-Length: 2\r\n\r\nhi", "[{X-A 1 2 3}]"},
		{"a folded line of no text (5.2)", "HTTP/1.1 200 OK\r\nX-A: 1\r\n \r\nContent-Length: 2\r\n\r\nhi", "[{X-A 1}]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				p.request()
				p.say(row.answer)
				p.request()
			})
			tr := transport(t, TransportConfig{})
			for range 2 {
				a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
				if body := read(t, a, err); body != "hi" || fmt.Sprint(a.Header) != row.header || !a.Closes || a.Reused {
					t.Errorf("got %q, %v, closes %v, reused %v", body, a.Header, a.Closes, a.Reused)
				}
			}
		})
	}
}

// UL9: answers that servers send, and that RFC 9112 allows, were refused and counted
// against the target's circuit.
func TestTransport_takesAnswersThatAreMerelyOdd(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	for _, row := range []struct{ name, answer, header, body, trailer string }{
		{"space before a colon (5.1)", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nX-A\t : 1\r\n\r\nhi", "[{X-A 1}]", "hi", "[]"},
		{"space before the colon of Transfer-Encoding (5.1)", "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "[]", "hi", "[]"},
		{"the same length twice (6.3)", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "[]", "hi", "[]"},
		{"an extension of a chunk (7.1.1)", chunked + "\r\n2;a=\"b;c\" ;d\r\nhi\r\n0;e=f\r\n\r\n", "[]", "hi", "[]"},
		{"a size with space behind it (7.1.1)", chunked + "\r\n2      \r\nhi\r\n0 \t\r\n\r\n", "[]", "hi", "[]"},
		{"a size with zeros before it (7.1)", chunked + "\r\n00000000000000000000000000000002\r\nhi\r\n00000000\r\n\r\n", "[]", "hi", "[]"},
		{"a trailer that is announced (RFC 9110, 6.6.2)", chunked + "Trailer: X-T, Set-Cookie, Content-Digest\r\n\r\n0\r\nX-T : 1\r\nSet-Cookie: a\r\nContent-Digest: b\r\n\r\n",
			"[{Trailer X-T, Content-Digest}]", "", "[{X-T 1} {Content-Digest b}]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				for range 2 {
					p.request()
					p.say(row.answer)
				}
			})
			tr := transport(t, TransportConfig{})
			for range 2 {
				a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(a.Body)
				_ = a.Body.Close()
				trailer := Header{}
				if a.Trailer != nil {
					trailer = append(trailer, a.Trailer()...)
				}
				if err != nil || string(b) != row.body || fmt.Sprint(a.Header) != row.header || fmt.Sprint(trailer) != row.trailer {
					t.Errorf("got %q %v, %v %v", b, err, a.Header, trailer)
				}
				if n, _ := kept(&tr.pool); n != 1 {
					t.Error("the connection is not kept")
				}
			}
		})
	}
}

// UL9: the client is lenient where RFC 9112 says so, and strict where two readers could
// find the end of an answer in different places.
func TestTransport_refusesChunksThatCouldEndInTwoPlaces(t *testing.T) {
	for _, row := range []struct{ name, line string }{
		{"a bare line feed in an extension", "2;a=\"\nb\"\r\n"},
		{"a bare carriage return in an extension", "2;a=\"\rb\"\r\n"},
		{"a quote without an end", "2;a=\"b\r\n"},
		{"a bare line feed after an extension", "2;a\n"},
		{"an extension without an end", "2;" + strings.Repeat("a", 2*maxChunkLine) + "\r\n"},
		{"a comma after the size", "2,2\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				p.request()
				_, _ = io.WriteString(p.Conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+row.line+"hi\r\n0\r\n\r\n") // the client may refuse it early
			})
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, get("/"), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a.Body)
			if r, _ := reason(t, err); r != ReasonGarbage || len(b) != 0 {
				t.Errorf("got %q, %v", b, err)
			}
			_ = a.Body.Close()
		})
	}
}

func TestTransport_failsBodiesThatBreakOff(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		reason       Reason
	}{
		{"by length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ReasonReset},
		{"by chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", ReasonReset},
		{"a malformed chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhel", ReasonGarbage},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				p.request()
				p.say(row.answer)
			})
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, get("/"), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(a.Body)
			if r, sent := reason(t, err); r != row.reason || !sent {
				t.Errorf("got %v", err)
			}
			_ = a.Body.Close()
		})
	}
}

func TestTransport_speaksTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // the handshake fails on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	addr := strings.TrimPrefix(s.URL, "https://")
	dials := 0
	tr := transport(t, TransportConfig{
		TLS: func() *tls.Config {
			return &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
		},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
	for range 3 {
		out, _ := post(strings.NewReader("hello"), 5)
		a, err := tr.RoundTrip(t.Context(), addr, out, nil)
		if body := read(t, a, err); body != "hello" {
			t.Errorf("got %q", body)
		}
	}
	if n, _ := kept(&tr.pool); n != 1 || dials != 1 {
		t.Errorf("%d connections are kept, of %d", n, dials)
	}
	t.Run("of nobody we know", func(t *testing.T) {
		tr := transport(t, TransportConfig{TLS: func() *tls.Config { return &tls.Config{ServerName: "example.com", MinVersion: tls.VersionTLS12} }})
		_, err := tr.RoundTrip(t.Context(), addr, get("/"), nil)
		if r, sent := reason(t, err); r != ReasonConnect || sent || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
}

// Anybody on the way can end the TCP connection below TLS.
func TestTransport_underTLSTheEndOfTheConnectionIsNoEndOfABody(t *testing.T) {
	for _, closes := range []bool{true, false} {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhi")
			if closes {
				_ = c.(*tls.Conn).CloseWrite()
			} else {
				_ = c.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite()
			}
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}))
		t.Cleanup(s.Close)
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		tr := transport(t, TransportConfig{TLS: func() *tls.Config {
			return &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
		}})
		a, err := tr.RoundTrip(t.Context(), s.Listener.Addr().String(), get("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if string(b) != "hi" || (err == nil) != closes {
			t.Errorf("closed by TLS: %v, got %q, %v", closes, b, err)
		}
	}
}

func TestTransport_closesWhatComesBackAfterClose(t *testing.T) {
	g := newTarget(t, func(p *peer) {
		for p.request() != nil {
			p.say(ok)
		}
	})
	tr := NewTransport(TransportConfig{})
	a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
	tr.Close()
	if body := read(t, a, err); body != "hi" {
		t.Errorf("a call under way: %q", body)
	}
	if n, _ := kept(&tr.pool); n != 0 {
		t.Error("a connection is kept")
	}
}

func TestTransport_hasDefaults(t *testing.T) {
	cfg := NewTransport(TransportConfig{}).cfg
	if cfg.Dial == nil || cfg.ConnectTimeout != 5*time.Second || cfg.Idle != 90*time.Second || cfg.BodyIdle != 5*time.Minute || cfg.MaxIdle != 256 || cfg.MaxHead != 64<<10 {
		t.Errorf("got %+v", cfg)
	}
}

// Closing a connection of TLS writes close_notify, for which crypto/tls waits up to 5 s.
func TestTransport_anAttemptEndsInTimeUnderTLS(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(stop) })
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	tr := transport(t, TransportConfig{TLS: func() *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	}})
	raw, _ := raw(16 << 20)
	kept := &Outgoing{Method: "POST", Path: "/", Host: "x", Kept: make([]byte, 16<<20), Length: 16 << 20}
	for name, out := range map[string]*Outgoing{"raw": raw, "kept": kept} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			out.Deadline = begin.Add(200 * time.Millisecond)
			_, err := tr.RoundTrip(t.Context(), s.Listener.Addr().String(), out, nil)
			if r, _ := reason(t, err); r != ReasonTimeout || time.Since(begin) > 3*time.Second {
				t.Errorf("got %v after %v", err, time.Since(begin))
			}
		})
	}
}

// slowToClose is a connection whose closing waits, as that of TLS may.
type slowToClose struct {
	net.Conn
	closing, release chan struct{}
}

func (c *slowToClose) Close() error {
	c.closing <- struct{}{}
	<-c.release
	return c.Conn.Close()
}

// A connection that is slow to close holds up no other attempt.
func TestPool_closesConnectionsOutsideOfItsLock(t *testing.T) {
	for _, how := range []string{"idle", "close"} {
		t.Run(how, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				for p.request() != nil {
					p.say(ok)
				}
			})
			closing, release := make(chan struct{}), make(chan struct{})
			cfg := TransportConfig{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				return &slowToClose{c, closing, release}, err
			}}
			if how == "idle" {
				cfg.Idle = 20 * time.Millisecond
			}
			tr := NewTransport(cfg)
			a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
			read(t, a, err)
			closed := make(chan struct{})
			if how == "close" {
				go func() {
					defer close(closed)
					tr.Close()
				}()
			} else {
				close(closed)
			}
			<-closing
			if !tr.pool.mu.TryLock() {
				t.Error("the pool is locked while a connection is closed")
			} else {
				tr.pool.mu.Unlock()
			}
			close(release)
			<-closed
		})
	}
}
