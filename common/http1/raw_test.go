package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

// raw is a request with Outgoing.Raw. sent counts the calls of Sent.
func raw(size int) (out *Outgoing, sent *atomic.Int32) {
	sent = new(atomic.Int32)
	body := strings.Repeat("x", size)
	text := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + body
	return &Outgoing{Method: "POST", Raw: []byte(text), Sent: func() { sent.Add(1) }, Borrow: true}, sent
}

func TestTransport_sendsRawRequestsAsTheyAreAndGivesThemBack(t *testing.T) {
	g := newTarget(t, func(p *peer) {
		for r := p.request(); r != nil; r = p.request() {
			b, _ := io.ReadAll(r.Body)
			p.say("HTTP/1.1 200 OK\r\nX-Size: " + strconv.Itoa(len(b)) + "\r\nContent-Length: 2\r\n\r\nhi")
		}
	})
	tr := transport(t, TransportConfig{})
	for n, size := range []int{5, 5, 8 << 20, 5} {
		out, sent := raw(size)
		a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Header.Get("X-Size") != strconv.Itoa(size) || a.Reused != (n > 0) || a.Partial || a.Closes {
			t.Errorf("%d bytes: %+v", size, a.Header)
		}
		if body := read(t, a, nil); body != "hi" || sent.Load() != 1 {
			t.Errorf("got %q, given back %d times", body, sent.Load())
		}
	}
	if n := g.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	out, sent := raw(5)
	out.NewConnection = true
	a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
	read(t, a, err)
	if n := g.accepted.Load(); n != 2 || sent.Load() != 1 {
		t.Errorf("%d connections", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, addr := range []string{g.addr, "127.0.0.1:1"} {
		out, sent = raw(5)
		if _, err := tr.RoundTrip(ended, addr, out, nil); err == nil || sent.Load() != 1 {
			t.Errorf("%v, given back %d times", err, sent.Load())
		}
	}
}

// RFC 9112, section 9.3: a server may answer before it has read the request.
func TestTransport_tellsOfAnAnswerToHalfARequest(t *testing.T) {
	over := make(chan struct{})
	g := newTarget(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
		<-over
	})
	t.Cleanup(func() { close(over) })
	tr := transport(t, TransportConfig{})
	out, sent := raw(64 << 20)
	a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
	if err != nil || a.Status != 413 || !a.Partial {
		t.Fatalf("got %+v, %v", a, err)
	}
	_ = a.Body.Close()
	eventually(t, "it is given back", func() bool { return sent.Load() == 1 })
	if n, _ := kept(&tr.pool); n != 0 {
		t.Error("the connection is kept")
	}
}

// U19: bytes that came before the request are no answer to it.
func TestTransport_refusesAnAnswerBeforeItsRequest(t *testing.T) {
	said := make(chan struct{}, 1)
	g := newTarget(t, func(p *peer) {
		p.say(ok)
		said <- struct{}{}
		p.hang()
	})
	dial := func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		<-said
		return c, err
	}
	for _, refuse := range []bool{true, false} {
		out, _ := raw(2)
		a, err := transport(t, TransportConfig{Dial: dial, RefuseUnasked: refuse}).RoundTrip(t.Context(), g.addr, out, nil)
		if refuse {
			var failed *Error
			if !errors.As(err, &failed) || !errors.Is(err, errUnasked) || failed.Sent || failed.Unseen {
				t.Errorf("got %v", err)
			}
			continue
		}
		read(t, a, err)
	}
}

// U19: on Linux, an answer that begins before the request was delivered belongs to another
// request.
func TestTransport_refusesAnAnswerToARequestThatWasNotDelivered(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells how much of a request was acknowledged")
	}
	over := make(chan struct{})
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say(ok)
		_, _ = p.in.Peek(1)
		p.say(ok)
		<-over
	})
	t.Cleanup(func() { close(over) })
	tr := transport(t, TransportConfig{RefuseUnasked: true, Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetWriteBuffer(4 << 20)
		}
		return c, err
	}})
	out, _ := raw(2)
	a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
	read(t, a, err)
	out, sent := raw(300 << 10)
	_, err = tr.RoundTrip(t.Context(), g.addr, out, nil)
	var failed *Error
	if !errors.As(err, &failed) || !failed.Unseen || !errors.Is(err, errUnasked) {
		t.Errorf("got %v", err)
	}
	eventually(t, "it is given back", func() bool { return sent.Load() == 1 })
}

// U11: a server closes an idle connection while the request is on its way.
func TestTransport_saysWhenAUsedConnectionEndedWithoutAnAnswer(t *testing.T) {
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say(ok)
		p.request()
	})
	tr := transport(t, TransportConfig{})
	for _, want := range []bool{false, true} {
		out, _ := raw(2)
		a, err := tr.RoundTrip(t.Context(), g.addr, out, nil)
		var failed *Error
		if errors.As(err, &failed); (failed != nil && failed.Unseen) != want {
			t.Errorf("got %v", err)
		}
		if err == nil {
			read(t, a, err)
		}
	}
}

func TestTransport_endsAnAttemptAtItsDeadline(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		dials        bool
		inBody       bool
	}{
		{"while it dials", "", true, false},
		{"without an answer", "", false, false},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				go func() {
					_, _ = far.Read(make([]byte, 4<<10))
					if row.answer != "" { // a pipe delivers empty writes, too
						_, _ = io.WriteString(far, row.answer)
					}
					_, _ = io.Copy(io.Discard, far)
				}()
				tr := transport(t, TransportConfig{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if row.dials {
						_ = near.Close()
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return near, nil
				}})
				begin := time.Now()
				out, _ := raw(2)
				out.Deadline = begin.Add(3 * time.Second)
				a, err := tr.RoundTrip(t.Context(), "x:1", out, nil)
				if row.inBody {
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.ReadAll(a.Body)
					_ = a.Body.Close()
				}
				if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
					t.Errorf("after %v: %v", time.Since(begin), err)
				}
			})
		})
	}
}

// The deadline of an attempt does not apply to the next one on the connection. A look at
// a connection that is not a socket waits.
func TestTransport_aDeadlineEndsWithItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		tr := transport(t, TransportConfig{MaxAge: time.Hour, Dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			near, far := net.Pipe()
			go func() {
				buf := make([]byte, 4<<10)
				for {
					if _, err := far.Read(buf); err != nil {
						return
					}
					time.Sleep(time.Second) // of fake time
					_, _ = io.WriteString(far, ok)
				}
			}()
			return near, nil
		}})
		send := func(limit time.Duration) {
			out, _ := raw(2)
			if limit > 0 {
				out.Deadline = time.Now().Add(limit)
			}
			a, err := tr.RoundTrip(t.Context(), "x:1", out, nil)
			read(t, a, err)
		}
		send(2 * time.Second)
		time.Sleep(time.Minute) // of fake time
		send(0)
		send(2 * time.Second)
		if dials != 1 {
			t.Errorf("%d connections", dials)
		}
		tr.pool.mu.Lock()
		c := tr.pool.idle["x:1"][0]
		tr.pool.mu.Unlock()
		c.born = c.born.Add(-2 * time.Hour)
		send(0)
		if dials != 2 {
			t.Errorf("%d connections; want another one in place of an old one", dials)
		}
	})
}

func TestTransport_allocatesNothingWhereItLendsItsAnswer(t *testing.T) {
	addr := tiny(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: today\r\nContent-Length: 2\r\n\r\nhi")
	tr := NewTransport(TransportConfig{RefuseUnasked: true})
	t.Cleanup(tr.Close)
	var ctx callctx.Context
	ctx.Begin(t.Context())
	defer ctx.End(context.Canceled)
	out, _ := raw(100)
	buf := make([]byte, 10)
	wantAllocations(t, 0, func() {
		out.Deadline = time.Now().Add(time.Minute)
		a, err := tr.RoundTrip(&ctx, addr, out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := a.Body.Read(buf); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		_ = a.Body.Close()
	})
}
