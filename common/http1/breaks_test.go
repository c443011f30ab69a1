package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// abruptly closes a connection with a reset.
func (p *peer) abruptly() {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close()
}

// L11: the transport never sends a request twice, unlike that of net/http: https://github.com/golang/go/issues/19943,
// https://github.com/traefik/traefik/issues/8990.
func TestTransport_sendsARequestAtMostOnceWhereverItBreaks(t *testing.T) {
	for _, row := range []struct {
		name   string
		broken func(p *peer) // what the target does instead of answering
		seen   int32         // requests whose head the target read
		reason Reason
		body   bool // it breaks in the body of the answer
	}{
		{"before the head is read", func(p *peer) { _, _ = p.in.Peek(1); p.abruptly() }, 0, ReasonReset, false},
		{"after the head", func(p *peer) { p.head() }, 1, ReasonReset, false},
		{"after the head, by a reset", func(p *peer) { p.head(); p.abruptly() }, 1, ReasonReset, false},
		{"after the body", func(p *peer) { p.request() }, 1, ReasonReset, false},
		{"in the head of the answer", func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nCont") }, 1, ReasonReset, false},
		{"with garbage", func(p *peer) { p.request(); p.say("?\r\n\r\n") }, 1, ReasonGarbage, false},
		{"in the body of the answer", func(p *peer) { p.request(); p.say(ok[:len(ok)-1]) }, 1, ReasonReset, true},
	} {
		for _, how := range []struct {
			name string
			out  func() (*Outgoing, *watched)
		}{
			{"POST at hand", func() (*Outgoing, *watched) {
				return &Outgoing{Method: "POST", Path: "/", Host: "x", Kept: []byte("hello"), Length: 5}, nil
			}},
			{"POST at hand, large", func() (*Outgoing, *watched) {
				b := make([]byte, 2<<20)
				return &Outgoing{Method: "POST", Path: "/", Host: "x", Kept: b, Length: int64(len(b))}, nil
			}},
			{"POST by length", func() (*Outgoing, *watched) { return post(strings.NewReader("hello"), 5) }},
			{"POST by chunks", func() (*Outgoing, *watched) { return post(strings.NewReader("hello"), -1) }},
			{"POST by chunks, large", func() (*Outgoing, *watched) {
				return post(strings.NewReader(strings.Repeat("x", 2<<20)), -1)
			}},
			{"GET", func() (*Outgoing, *watched) { return get("/"), nil }},
		} {
			for _, reused := range []bool{false, true} {
				name := row.name + "/" + how.name + map[bool]string{true: ", connection used before", false: ""}[reused]
				t.Run(name, func(t *testing.T) {
					g := newTarget(t, func(p *peer) {
						if reused {
							p.request()
							p.say(ok)
							_, _ = p.in.Peek(1) // the next request has begun
						}
						row.broken(p)
					})
					tr := transport(t, TransportConfig{})
					before := int32(0)
					if reused {
						a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
						read(t, a, err)
						before = 1
					}
					out, body := how.out()
					a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
					if row.body && err == nil {
						_, err = io.ReadAll(a.Body)
						_ = a.Body.Close()
					}
					if r, sent := reason(t, err); r != row.reason || !sent && row.seen > 0 {
						t.Errorf("got %v, sent %v", err, sent)
					}
					if body != nil {
						eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
					}
					if n := g.requests.Load() - before; n > row.seen || g.accepted.Load() != 1 {
						t.Errorf("%d requests on %d connections", n, g.accepted.Load())
					}
				})
			}
		}
	}
}

func TestTransport_sendsARequestAtMostOnceToATargetThatClosesAtOnce(t *testing.T) {
	g := newTarget(t, func(p *peer) { p.abruptly() })
	tr := transport(t, TransportConfig{})
	for n := range int32(20) {
		out, _ := post(strings.NewReader("hello"), 5)
		_, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
		if r, _ := reason(t, err); r != ReasonReset && r != ReasonConnect {
			t.Errorf("got %v", err)
		}
		eventually(t, "it was accepted", func() bool { return g.accepted.Load() > n })
		if got := g.accepted.Load(); got != n+1 {
			t.Fatalf("%d connections for %d calls", got, n+1)
		}
	}
}

func TestTransport_saysThatNothingWasSentWhereThereIsNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	out, body := post(strings.NewReader("x"), 1)
	_, err = transport(t, TransportConfig{}).RoundTrip(t.Context(), l.Addr().String(), out, nil)
	if r, sent := reason(t, err); r != ReasonConnect || sent || body.closed.Load() != 1 || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// broken is a connection whose writes fail after a number of bytes.
type broken struct {
	net.Conn
	left int
}

func (b *broken) Write(p []byte) (int, error) {
	if b.left < len(p) {
		n, _ := b.Conn.Write(p[:b.left])
		b.left = 0
		return n, io.ErrClosedPipe
	}
	b.left -= len(p)
	return b.Conn.Write(p)
}

func TestTransport_knowsWhetherAByteWasSent(t *testing.T) {
	for _, row := range []struct {
		name string
		left int
		sent bool
	}{{"none", 0, false}, {"one", 1, true}} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) { _, _ = p.in.Peek(1) })
			tr := transport(t, TransportConfig{Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
				c, err := net.Dial(network, addr)
				return &broken{Conn: c, left: row.left}, err
			}})
			out, body := post(strings.NewReader("x"), 1)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := tr.RoundTrip(ctx, g.addr, out, nil)
			if r, sent := reason(t, err); r != ReasonReset || sent != row.sent {
				t.Errorf("got %v, sent %v", err, sent)
			}
			if body.closed.Load() != 1 {
				t.Error("its body is not closed")
			}
		})
	}
}

// An answer that comes before the whole request was sent is read even if the connection
// then breaks: https://github.com/golang/go/issues/11745 is the same in net/http.
func TestTransport_readsAnAnswerThatComesBeforeTheBodyWasSent(t *testing.T) {
	const early = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
	big := strings.Repeat("x", 8<<20)
	for _, row := range []struct {
		name string
		out  func() (*Outgoing, *watched)
	}{
		{"at hand", func() (*Outgoing, *watched) {
			return &Outgoing{Method: "POST", Path: "/", Host: "x", Kept: []byte(big), Length: int64(len(big))}, nil
		}},
		{"by length", func() (*Outgoing, *watched) { return post(strings.NewReader(big), int64(len(big))) }},
		{"by chunks", func() (*Outgoing, *watched) { return post(strings.NewReader(big), -1) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				p.head()
				p.say(early)
				_ = p.Conn.(*net.TCPConn).CloseWrite()
				_, _ = io.CopyN(io.Discard, p.in, 4<<20)
			})
			tr := transport(t, TransportConfig{ResponseHeader: patience})
			out, body := row.out()
			a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
			if err != nil {
				// If the write fails first, the kernel has dropped the answer that it
				// had received.
				if r, sent := reason(t, err); r != ReasonReset || !sent {
					t.Errorf("got %v", err)
				}
				return
			}
			if a.Status != 413 {
				t.Errorf("answered %d", a.Status)
			}
			_, _ = io.ReadAll(a.Body)
			_ = a.Body.Close()
			if body != nil {
				eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
			}
		})
	}
	t.Run("while the body waits", func(t *testing.T) {
		g := newTarget(t, func(p *peer) {
			p.head()
			p.say(early)
			_, _ = io.Copy(io.Discard, p.in)
		})
		r, w := io.Pipe()
		out, body := post(r, -1)
		tr := transport(t, TransportConfig{ResponseHeader: patience})
		a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
		if text := read(t, a, err); text != "no" || a.Status != 413 {
			t.Errorf("answered %d %q", a.Status, text)
		}
		if n, _ := kept(&tr.pool); n != 0 {
			t.Error("a connection with half a request is kept")
		}
		_ = w.CloseWithError(errors.New("the call is over")) // as the owner of the body does
		eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
	})
	t.Run("while the last piece waits", func(t *testing.T) {
		g := newTarget(t, func(p *peer) {
			p.head()
			p.say(early)
			p.hang()
		})
		c := &stuck{over: make(chan struct{})}
		tr := transport(t, TransportConfig{Dial: func(_ context.Context, network, addr string) (conn net.Conn, err error) {
			c.Conn, err = net.Dial(network, addr)
			return c, err
		}})
		out, body := post(strings.NewReader("hello"), 5)
		a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
		if text := read(t, a, err); text != "no" {
			t.Errorf("answered %d %q", a.Status, text)
		}
		if n, _ := kept(&tr.pool); n != 0 {
			t.Error("a connection with half a request is kept")
		}
		eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
	})
	t.Run("the write fails, and the answer is there", func(t *testing.T) {
		for _, kept := range []bool{true, false} {
			g := newTarget(t, func(p *peer) {
				_, _ = p.in.Peek(1)
				p.say(early)
				_, _ = io.Copy(io.Discard, p.in)
			})
			tr := transport(t, TransportConfig{ResponseHeader: patience, Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
				c, err := net.Dial(network, addr)
				return &broken{Conn: c, left: 60}, err
			}})
			out, body := post(strings.NewReader(big[:20<<10]), -1)
			if kept {
				out.Header.Add("A", big[:100])
			}
			a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
			if text := read(t, a, err); text != "no" || a.Status != 413 {
				t.Errorf("answered %d %q", a.Status, text)
			}
			eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
		}
	})
}

// stuck is a connection that accepts a head, but no body.
type stuck struct {
	net.Conn
	heads int
	once  sync.Once
	over  chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.heads++; s.heads > 1 {
		<-s.over
		return 0, net.ErrClosed
	}
	return s.Conn.Write(p)
}

func (s *stuck) Close() error {
	s.once.Do(func() { close(s.over) })
	return s.Conn.Close()
}

type failing struct {
	text string
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.text == "" {
		return 0, f.err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

func TestTransport_endsACallWhoseBodyFails(t *testing.T) {
	cause := errors.New("the application sent half of it")
	for _, row := range []struct {
		name   string
		body   io.Reader
		length int64
		err    error
	}{
		{"by length", &failing{"he", cause}, 5, cause},
		{"by chunks", &failing{"he", cause}, -1, cause},
		{"too short", strings.NewReader("he"), 5, io.ErrUnexpectedEOF},
		{"by the application's deadline", &failing{"he", &net.OpError{Op: "read", Err: errTimeout{}}}, -1, errTimeout{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newTarget(t, func(p *peer) {
				p.head()
				_, _ = io.Copy(io.Discard, p.in)
			})
			out, body := post(row.body, row.length)
			_, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, out, nil)
			if r, sent := reason(t, err); r != ReasonBody || !sent || !errors.Is(err, row.err) {
				t.Errorf("got %v", err)
			}
			eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
		})
	}
	t.Run("once the answer has begun", func(t *testing.T) {
		g := newTarget(t, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\n\r\nhi")
			_, _ = io.Copy(io.Discard, p.in)
		})
		r, w := io.Pipe()
		out, _ := post(r, -1)
		a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, out, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = a.Body.Read(make([]byte, 2))
		_ = w.CloseWithError(cause)
		_, err = io.ReadAll(a.Body)
		if r, _ := reason(t, err); r != ReasonBody || !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		_ = a.Body.Close()
	})
}

type errTimeout struct{}

func (errTimeout) Error() string   { return "i/o timeout" }
func (errTimeout) Timeout() bool   { return true }
func (errTimeout) Is(e error) bool { return e == context.DeadlineExceeded }

func TestTransport_endsWithItsContextAtEveryStage(t *testing.T) {
	stop := errors.New("stop")
	for _, row := range []struct {
		name   string
		target func(p *peer, stop func())
		early  bool // before there is a connection
		inBody bool
	}{
		{"before it begins", func(p *peer, _ func()) { p.hang() }, true, false},
		{"before the head is read", func(p *peer, stop func()) { _, _ = p.in.Peek(1); stop(); p.hang() }, false, false},
		{"after the head", func(p *peer, stop func()) { p.head(); stop(); p.hang() }, false, false},
		{"in the head of the answer", func(p *peer, stop func()) { p.head(); p.say("HTTP/1.1 2"); stop(); p.hang() }, false, false},
		{"in the body of the answer", func(p *peer, stop func()) { p.head(); p.say(ok[:len(ok)-1]); stop(); p.hang() }, false, true},
	} {
		for _, end := range []struct {
			name   string
			cause  error
			reason Reason
		}{{"the application leaves", nil, ReasonGone}, {"a limit passes", context.DeadlineExceeded, ReasonTimeout}, {"another cause", stop, ReasonTimeout}} {
			for _, streams := range []bool{false, true} {
				t.Run(row.name+"/"+end.name+map[bool]string{true: ", with a body that waits", false: ""}[streams], func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					g := newTarget(t, func(p *peer) { row.target(p, func() { cancel(end.cause) }) })
					tr := transport(t, TransportConfig{ResponseHeader: patience})
					if row.early { // on a connection of the pool
						c, err := tr.connect(t.Context(), g.addr, time.Time{})
						if err != nil {
							t.Fatal(err)
						}
						tr.pool.put(c)
						cancel(end.cause)
					}
					out, body, w := get("/"), (*watched)(nil), (*io.PipeWriter)(nil)
					if streams {
						var r *io.PipeReader
						r, w = io.Pipe()
						out, body = post(r, -1)
					}
					a, err := tr.RoundTrip(ctx, g.addr, out, nil)
					if err == nil {
						_, err = io.ReadAll(a.Body)
						_ = a.Body.Close()
					}
					if r, sent := reason(t, err); r != end.reason || sent == row.early {
						t.Errorf("got %v, sent %v", err, sent)
					}
					if streams {
						_ = w.CloseWithError(stop) // as the owner of the body does
						eventually(t, "its body is closed", func() bool { return body.closed.Load() == 1 })
					}
				})
			}
		}
	}
}

// hang reads until the other side ends the connection.
func (p *peer) hang() { _, _ = io.Copy(io.Discard, p.in) }

func TestTransport_endsWithItsContextWhileItConnects(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tr := transport(t, TransportConfig{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	_, err := tr.RoundTrip(ctx, "x:1", get("/"), nil)
	if r, sent := reason(t, err); r != ReasonGone || sent {
		t.Errorf("got %v", err)
	}
}

func TestTransport_closingAnAnswerEarlyDropsTheConnection(t *testing.T) {
	ended := make(chan struct{})
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		p.hang()
		close(ended)
	})
	tr := transport(t, TransportConfig{})
	a, err := tr.RoundTrip(t.Context(), g.addr, get("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Body.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	_ = a.Body.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the connection stays")
	}
	if n, _ := kept(&tr.pool); n != 0 {
		t.Error("it is kept")
	}
}

// A target may answer a request before it has read a body that is kept, as it may one
// that streams: with 413, or by sending the body back.
func TestTransport_readsAnAnswerThatComesBeforeAKeptBodyWasSent(t *testing.T) {
	kept := []byte(strings.Repeat("x", 16<<20))
	var done chan struct{} // closed when the answer was read
	for _, row := range []struct {
		name   string
		target func(p *peer)
		want   int // bytes of the answer
	}{
		{"413", func(p *peer) {
			p.head()
			p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nhi")
			<-done
		}, 2},
		{"an echo", func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n")
			_, _ = io.CopyN(p.Conn, p.in, 16<<20) // the test sees what is missing
		}, 16 << 20},
	} {
		t.Run(row.name, func(t *testing.T) {
			done = make(chan struct{})
			g := newTarget(t, row.target)
			t.Cleanup(func() { close(done) })
			out := &Outgoing{Method: "POST", Path: "/", Host: "x", Kept: kept, Length: int64(len(kept)), Deadline: time.Now().Add(5 * time.Second)}
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, out, nil)
			if body := read(t, a, err); len(body) != row.want {
				t.Errorf("got %d bytes", len(body))
			}
		})
	}
}
