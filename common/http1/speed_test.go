package http1

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/callctx"
)

// tiny writes the same answer after each read, and allocates nothing.
func tiny(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-over })
	go func() {
		defer close(over)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		buf, reply := make([]byte, 4<<10), []byte(answer)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

func wantAllocations(t *testing.T, most float64, do func()) {
	t.Helper()
	do()
	got := testing.AllocsPerRun(500, do)
	t.Logf("%v allocations", got)
	if got > most && !raceEnabled {
		t.Errorf("%v allocations; want at most %v", got, most)
	}
}

// The allocations of an attempt are the head of the answer, its fields and the Answer.
func TestTransport_allocatesLittle(t *testing.T) {
	addr := tiny(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: today\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 100))
	tr := NewTransport(TransportConfig{})
	t.Cleanup(tr.Close)
	var ctx callctx.Context
	ctx.Begin(t.Context())
	defer ctx.End(context.Canceled)
	out, buf := &Outgoing{Method: "GET", Path: "/", Host: "x", Header: Header{{Name: "A", Value: "b"}}}, make([]byte, 200)
	wantAllocations(t, 3, func() {
		a, err := tr.RoundTrip(&ctx, addr, out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := a.Body.Read(buf); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := a.Body.Read(buf); n != 0 || err != io.EOF {
			t.Fatal(n, err)
		}
		_ = a.Body.Close()
	})
}

// The allocation of a request is its head.
func TestServer_allocatesLittle(t *testing.T) {
	hi := []byte("hi")
	s := &Server{Refuse: refuse, Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
		_ = w.Head(200, nil, 2)
		_, _ = w.Write(hi)
		_ = w.End(nil)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if c, err := l.Accept(); err == nil {
			s.ServeConn(t.Context(), c)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = c.Close(), l.Close(), <-over }()
	request, buf := []byte("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"), make([]byte, 1<<10)
	wantAllocations(t, 1, func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
}
