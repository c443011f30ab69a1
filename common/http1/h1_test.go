package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log" //nolint:depguard // net/http writes to its standard logger
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http's client logs unsolicited answers
	goleak.VerifyTestMain(m)
}

// patience bounds the wait for an expected event.
const patience = 20 * time.Second

// refuse is a Server.Refuse that answers with the text of the error.
func refuse(w ResponseWriter, status int, err error) {
	b := []byte(err.Error())
	_ = w.Head(status, Header{{Name: "Content-Type", Value: "text/plain"}}, int64(len(b)))
	_, _ = w.Write(b)
	_ = w.End(nil)
}

// serve runs a server until the test ends.
func serve(t testing.TB, s *Server) string {
	t.Helper()
	s.Refuse = refuse
	ctx, cancel := context.WithCancel(context.Background())
	addr := listen(t, func(c net.Conn) { s.ServeConn(ctx, c) }, func() {
		cancel()
		over, stop := context.WithCancel(context.Background())
		stop()
		_ = s.Shutdown(over)
	})
	return addr
}

// listen calls accept for each connection in a goroutine, and waits for all of them when
// the test ends.
func listen(t testing.TB, accept func(net.Conn), stop func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { accept(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		stop()
		all.Wait()
	})
	return l.Addr().String()
}

type handlerFunc func(ctx context.Context, w ResponseWriter, r *Request)

func (f handlerFunc) ServeCall(ctx context.Context, w ResponseWriter, r *Request) {
	f(ctx, w, r)
}

// reply writes a complete answer.
func reply(w ResponseWriter, status int, body string) error {
	if err := w.Head(status, nil, int64(len(body))); err != nil {
		return err
	}
	if _, err := io.WriteString(w, body); err != nil {
		return err
	}
	return w.End(nil)
}

// echo answers with what it received: body, trailer, error.
var echo = handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
	b, err := io.ReadAll(r.Body)
	text := r.Method + " " + r.Target + " " + string(b)
	for _, f := range r.Trailer() {
		text += " " + f.Name + "=" + f.Value
	}
	if err != nil {
		text += " failed: " + err.Error()
	}
	_ = reply(w, 200, text)
})

// app is an application that writes raw bytes.
type app struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *app {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return newApp(t, c)
}

func newApp(t testing.TB, c net.Conn) *app {
	_ = c.SetDeadline(time.Now().Add(patience))
	return &app{Conn: c, t: t, in: bufio.NewReader(c)}
}

func (a *app) say(text string) {
	a.t.Helper()
	if _, err := io.WriteString(a.Conn, text); err != nil {
		a.t.Fatalf("write: %v", err)
	}
}

// answer reads an answer. err is the error of its body.
func (a *app) answer(method string) (res *http.Response, body string, err error) {
	a.t.Helper()
	res, err = http.ReadResponse(a.in, &http.Request{Method: method})
	if err != nil {
		a.t.Fatalf("read an answer: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

// expect reads a complete answer with that status and body.
func (a *app) expect(status int, body string) *http.Response {
	a.t.Helper()
	res, got, err := a.answer("GET")
	if err != nil || res.StatusCode != status || got != body {
		a.t.Fatalf("answered %d %q (%v), want %d %q", res.StatusCode, got, err, status, body)
	}
	return res
}

// line reads a line with its end.
func (a *app) line() string {
	a.t.Helper()
	text, err := a.in.ReadString('\n')
	if err != nil {
		a.t.Fatalf("read a line: %v after %q", err, text)
	}
	return text
}

// over checks that the connection ends.
func (a *app) over() {
	a.t.Helper()
	rest, err := io.ReadAll(a.in)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || len(rest) > 0 {
		a.t.Fatalf("the connection goes on: %q, %v", rest, err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// target is a server of raw connections that counts the requests it read.
type target struct {
	addr     string
	accepted atomic.Int32
	requests atomic.Int32
}

// peer is one connection to a target.
type peer struct {
	*app
	target *target
	n      int32 // the number of earlier connections
}

// request reads a request and its body. It returns nil at the end of the connection.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return nil
	}
	p.target.requests.Add(1)
	b, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(b)))
	return r
}

// head reads the head of a request; its body stays unread.
func (p *peer) head() {
	for {
		text, err := p.in.ReadString('\n')
		if err != nil {
			return
		}
		if text == "\r\n" {
			p.target.requests.Add(1)
			return
		}
	}
}

// newTarget calls handle for every connection and closes it after.
func newTarget(t testing.TB, handle func(p *peer)) *target {
	t.Helper()
	g := &target{}
	var open sync.Map
	g.addr = listen(t, func(c net.Conn) {
		open.Store(c, nil)
		p := &peer{app: newApp(t, c), target: g, n: g.accepted.Add(1) - 1}
		handle(p)
		_ = c.Close()
		open.Delete(c)
	}, func() {
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
	})
	return g
}

// transport makes a Transport that is closed when the test ends.
func transport(t testing.TB, cfg TransportConfig) *Transport {
	tr := NewTransport(cfg)
	t.Cleanup(tr.Close)
	return tr
}

func get(path string) *Outgoing { return &Outgoing{Method: "GET", Path: path, Host: "x"} }

// watched is a body that records its closing.
type watched struct {
	io.Reader
	closed atomic.Int32
}

func (w *watched) Close() error { w.closed.Add(1); return nil }

func post(body io.Reader, length int64) (*Outgoing, *watched) {
	w := &watched{Reader: body}
	return &Outgoing{Method: "POST", Path: "/", Host: "x", Body: w, Length: length}, w
}

// read reads an answer to its end.
func read(t testing.TB, a *Answer, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	_ = a.Body.Close()
	return string(b)
}

func TestBothSides_carryBodiesAndTrailers(t *testing.T) {
	upstream := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_ = w.Head(200, Header{{Name: "X-Path", Value: r.Target}}, -1)
		_, _ = w.Write([]byte(strings.ToUpper(string(b))))
		_ = w.End(append(r.Trailer(), Field{Name: "X-Sum", Value: "7"}))
	})})
	dials := 0
	tr := transport(t, TransportConfig{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	big := strings.Repeat("hello", 20<<10)
	for range 3 {
		for _, body := range []string{"hello", big} {
			for _, length := range []int64{-1, int64(len(body))} {
				out, w := post(strings.NewReader(body), length)
				out.Path, out.Query = "/a", "b"
				out.Trailer = func() Header { return Header{{Name: "X-In", Value: "8"}} }
				a, err := tr.RoundTrip(t.Context(), upstream, out, nil)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(a.Body)
				if err != nil || string(b) != strings.ToUpper(body) || a.Header.Get("x-path") != "/a?b" || a.Trailer().Get("x-sum") != "7" {
					t.Fatalf("got %d bytes %v %v %v", len(b), err, a.Header, a.Trailer())
				}
				if got := a.Trailer().Get("x-in"); (length < 0) != (got == "8") {
					t.Errorf("length %d: the trailer of the request came as %q", length, got)
				}
				eventually(t, "the body of the request is closed", func() bool { return w.closed.Load() == 1 })
				_ = a.Body.Close()
				if a.Trailer().Get("x-sum") != "7" || !a.Ready() {
					t.Error("a closed answer has lost its trailer")
				}
			}
		}
	}
	if n, _ := kept(&tr.pool); n != 1 || dials != 1 {
		t.Errorf("%d connections are kept, of %d", n, dials)
	}
}

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// kept returns the number of connections in a pool, and of their lists.
func kept(p *pool) (n, lists int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, len(p.idle)
}
