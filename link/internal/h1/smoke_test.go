package h1

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/lsm/fiso/link/internal/call"
)

// serve runs a server on a port of its own until the test ends.
func serve(t testing.TB, s *Server) string {
	t.Helper()
	if s.Refuse == nil {
		s.Refuse = func(w call.ResponseWriter, code call.Code, err error) {
			p := call.NewProblem(code, "", err.Error())
			b := p.JSON()
			_ = w.Head(p.Status, p.Header(), int64(len(b)))
			_, _ = w.Write(b)
			_ = w.End(nil)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.ServeConn(ctx, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		over, stop := context.WithCancel(context.Background())
		stop()
		_ = s.Shutdown(over)
		all.Wait()
	})
	return l.Addr().String()
}

type handlerFunc func(ctx context.Context, w call.ResponseWriter, r *call.Request)

func (f handlerFunc) ServeCall(ctx context.Context, w call.ResponseWriter, r *call.Request) {
	f(ctx, w, r)
}

func TestSmoke(t *testing.T) {
	upstream := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w call.ResponseWriter, r *call.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_ = w.Head(200, call.Header{{Name: "X-Path", Value: r.Target}}, -1)
		_, _ = w.Write([]byte(strings.ToUpper(string(b))))
		_ = w.End(call.Header{{Name: "X-Sum", Value: "7"}})
	})})
	tr := NewTransport(TransportConfig{})
	defer tr.Close()
	for range 3 {
		for _, length := range []int64{-1, 5} {
			a, err := tr.RoundTrip(t.Context(), upstream, &call.Outgoing{Method: "POST", Path: "/a", Query: "b", Host: "x", Body: io.NopCloser(strings.NewReader("hello")), Length: length}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a.Body)
			if err != nil || string(b) != "HELLO" || a.Header.Get("x-path") != "/a?b" || a.Trailer().Get("x-sum") != "7" {
				t.Fatalf("got %q %v %v %v", b, err, a.Header, a.Trailer())
			}
			_ = a.Body.Close()
		}
	}
	if tr.pool.n != 1 {
		t.Errorf("%d connections are kept", tr.pool.n)
	}
}
