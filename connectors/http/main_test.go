package http

import (
	"bufio"
	"context"
	"io"
	"net"
	nethttp "net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

func TestMain(m *testing.M) {
	// The fasthttp server and client of the benchmarks leave sleeping goroutines.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"),
	)
}

func order(id string) *cloudevent.Event {
	return &cloudevent.Event{
		ID: id, Source: "/orders", Type: "order.created",
		DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`{"n":1}`)),
	}
}

// newSink returns a sink that is closed when the test ends.
func newSink(t *testing.T, cfg SinkConfig, opts ...SinkOptions) *Sink {
	t.Helper()
	s, err := NewSink(cfg, append(opts, SinkOptions{})[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// peer is a server that answers with bytes of the test and counts the requests.
type peer struct {
	url      string
	requests atomic.Int64
	conns    atomic.Int64
}

// newPeer returns a peer that answers the n-th request (from 1) by answer, and closes
// the connection if answer returns false.
func newPeer(t *testing.T, answer func(n int64, c net.Conn, r *nethttp.Request) bool) *peer {
	t.Helper()
	return newPeerOn(t, func(c net.Conn) net.Conn { return c }, answer)
}

// newPeerOn is newPeer with each connection wrapped by wrap.
func newPeerOn(t *testing.T, wrap func(net.Conn) net.Conn, answer func(n int64, c net.Conn, r *nethttp.Request) bool) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{url: "http://" + ln.Addr().String()}
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		_ = ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.conns.Add(1)
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				p.serve(wrap(c), answer)
			})
		}
	})
	return p
}

func (p *peer) serve(c net.Conn, answer func(int64, net.Conn, *nethttp.Request) bool) {
	br := bufio.NewReader(c)
	for {
		r, err := nethttp.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if !answer(p.requests.Add(1), c, r) {
			return
		}
	}
}

// says returns an answer function with constant bytes.
func says(answer string) func(int64, net.Conn, *nethttp.Request) bool {
	return func(_ int64, c net.Conn, _ *nethttp.Request) bool {
		_, err := io.WriteString(c, answer)
		return err == nil
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// eventually waits for a condition that another goroutine fulfils.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			if !holds() { // the tick may be due, too
				t.Fatalf("never: %s", what)
			}
			return
		}
	}
}

func wantClass(t *testing.T, err error, want connector.Class) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want a %v one", want)
	}
	if got := connector.ClassOf(err); got != want {
		t.Errorf("class of %q is %v; want %v", err, got, want)
	}
}

// written is an event or a batch in JSON format.
func written(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
