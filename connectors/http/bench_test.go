//go:build unix

package http

import (
	"bytes"
	"context"
	"io"
	"net"
	nethttp "net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
)

// sized returns an event of about n bytes in structured form.
func sized(n int) *cloudevent.Event {
	e := order("orders-3-1234567")
	e.Time = time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	pad := max(n-len(written(e.AppendJSON(nil))), 0)
	e.Data = cloudevent.Bytes([]byte(`{"n":1,"pad":"` + string(bytes.Repeat([]byte("x"), max(pad-9, 0))) + `"}`))
	return e
}

// taker answers every request with 200. It is the server of fasthttp, so that most of
// the measured CPU is the client's.
func taker(tb testing.TB) (url string) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	srv := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) { c.SetStatusCode(200) }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln) // returns when it is closed
	}()
	tb.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return "http://" + ln.Addr().String() + "/callbacks/order-result"
}

// BenchmarkSend compares Send with the floor, which is a bare POST of prepared bytes,
// and with net/http. CPU time is that of the process, server included.
func BenchmarkSend(b *testing.B) {
	url, e := taker(b), sized(500)
	ready := written(e.AppendJSON(nil))
	for _, callers := range []int{1, 16, 256, 1024} {
		name := strconv.Itoa(callers)
		b.Run("floor/callers="+name, func(b *testing.B) {
			client := &fasthttp.Client{MaxConnsPerHost: callers}
			defer client.CloseIdleConnections()
			parallel(b, callers, func() error {
				req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				defer fasthttp.ReleaseRequest(req)
				defer fasthttp.ReleaseResponse(resp)
				req.SetRequestURI(url)
				req.Header.SetMethod("POST")
				req.Header.SetContentType(contentTypeEvent)
				req.SetBodyRaw(ready)
				return client.Do(req, resp)
			})
		})
		for _, mode := range []string{ModeStructured, ModeBinary} {
			b.Run(mode+"/callers="+name, func(b *testing.B) {
				s, err := NewSink(SinkConfig{URL: url, Mode: mode, MaxConnections: callers}, SinkOptions{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close(context.Background()) }()
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				parallel(b, callers, func() error { return s.Send(ctx, e) })
			})
		}
		b.Run("nethttp/callers="+name, func(b *testing.B) {
			transport := &nethttp.Transport{MaxIdleConnsPerHost: callers}
			defer transport.CloseIdleConnections()
			client := &nethttp.Client{Transport: transport}
			parallel(b, callers, func() error {
				r, err := nethttp.NewRequestWithContext(b.Context(), "POST", url, bytes.NewReader(written(e.AppendJSON(nil))))
				if err != nil {
					return err
				}
				r.Header.Set("Content-Type", contentTypeEvent)
				resp, err := client.Do(r)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				return err
			})
		})
	}
}

// parallel divides b.N calls among callers and reports the CPU time of each call.
func parallel(b *testing.B, callers int, call func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for range callers {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// A call does not allocate, even with a context that can end it.
func TestSink_allocatesLittle(t *testing.T) {
	url, e := taker(t), sized(500)
	for _, row := range []struct {
		name string
		cfg  SinkConfig
		most float64
	}{
		{"structured", SinkConfig{URL: url}, 0},
		{"binary", SinkConfig{URL: url, Mode: ModeBinary}, 0},
		{"batch of one", SinkConfig{URL: url, Mode: ModeBatch}, 0},
		{"with a token", SinkConfig{URL: url, Auth: SinkAuth{Type: "bearer", Token: config.NewSecret("t")}}, 0},
	} {
		s := newSink(t, row.cfg)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := testing.AllocsPerRun(200, func() {
			if err := s.Send(ctx, e); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %v allocations", row.name, got)
		if got > row.most && !raceEnabled {
			t.Errorf("%s: %v allocations a call; want at most %v", row.name, got, row.most)
		}
	}
}
