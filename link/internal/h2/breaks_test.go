package h2

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

// An answer that is not complete must not look complete.
func TestServer_resetsAStreamThatIsCutOff(t *testing.T) {
	for name, do := range map[string]handler{
		"no answer": func(context.Context, http1.ResponseWriter, *http1.Request) {},
		"no end": func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
			_ = w.Head(200, nil, -1)         // a failure shows in the client
			_, _ = io.WriteString(w, "half") // likewise
			_ = w.Flush()                    // likewise
		},
		"no end of an empty body": func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
			_ = w.Head(200, nil, 0) // a failure shows in the client
		},
		"shorter than announced": func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
			_ = w.Head(200, nil, 5)          // a failure shows in the client
			_, _ = io.WriteString(w, "half") // likewise
			if w.End(nil) == nil {
				t.Error("half a body ended well")
			}
		},
		"longer than announced": func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
			_ = w.Head(200, nil, 3) // a failure shows in the client
			if _, err := io.WriteString(w, "half"); err == nil || w.End(nil) == nil || w.Flush() == nil {
				t.Error("more than the length was taken")
			}
			if _, err := io.WriteString(w, "x"); err == nil {
				t.Error("the error does not stick")
			}
		},
		"an end without an answer": func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
			if w.End(nil) == nil {
				t.Error("nothing ended well")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := application(t, listen(t, &Server{Handler: do}))
			p.headers(1, true, get("/")...)
			if how, _, _ := p.ending(1); how != "reset INTERNAL_ERROR" {
				t.Error(how)
			}
		})
	}
}

func TestServer_endsACallWhoseApplicationLeaves(t *testing.T) {
	for name, leave := range map[string]func(p *peer){
		"the stream":     func(p *peer) { _ = p.WriteRSTStream(1, http2.ErrCodeCancel) }, // a failure shows in the handler
		"the connection": func(p *peer) { _ = p.Close() },                                // likewise
	} {
		t.Run(name, func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan struct{})
			p := application(t, listen(t, &Server{Handler: handler(func(ctx context.Context, _ http1.ResponseWriter, r *http1.Request) {
				close(began)
				<-ctx.Done()
				if _, err := r.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
					t.Error("the body ended well:", err)
				}
				close(ended)
			})}))
			p.headers(1, false, get("/")...)
			await(t, "the call", began)
			leave(p)
			await(t, "its end", ended)
		})
	}
}

func TestServer_interruptsABody(t *testing.T) {
	kept := make(chan func(), 1)
	addr := listen(t, &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
		read := make(chan error)
		go func() {
			_, err := r.Body.Read(make([]byte, 1))
			read <- err
		}()
		r.Interrupt()
		if err := <-read; err == nil || errors.Is(err, io.EOF) {
			t.Error("a read that waited ended well:", err)
		}
		if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, errCut) {
			t.Error("the next read:", err)
		}
		kept <- r.Interrupt
		answer(w, 200, "hi")
	})})
	p := application(t, addr)
	p.headers(1, false, get("/")...)
	if how, status, body := p.ending(1); how != "end" || status != "200" || body != "hi" {
		t.Error(how, status, body)
	}
	(<-kept)() // has no effect and does not panic
}

// L14: a slow body gets its time, and no more.
func TestServer_limitsTheTimeOfABody(t *testing.T) {
	for name, test := range map[string]struct {
		kind string
		late bool
	}{
		"of a call": {"text/plain", true},
		"of gRPC's": {"application/grpc", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			addr := listen(t, &Server{Limits: Limits{Body: 20 * time.Millisecond}, Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
				if !test.late {
					time.AfterFunc(100*time.Millisecond, r.Interrupt)
				}
				_, err := r.Body.Read(make([]byte, 1))
				got <- err
				answer(w, 408, "")
			})})
			p := application(t, addr)
			p.headers(1, false, get("/", "content-type", test.kind)...)
			began := time.Now()
			if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) || !test.late && time.Since(began) < 50*time.Millisecond {
				t.Error(err, time.Since(began))
			}
		})
	}
}

// L14: a window that never opens holds a stream for a limited time
// (CVE-2019-9517, https://github.com/Netflix/security-bulletins/blob/master/advisories/third-party/2019-002.md).
func TestServer_endsAStreamWhoseWindowStaysShut(t *testing.T) {
	ended := make(chan error, 1)
	p := application(t, listen(t, &Server{Limits: Limits{Write: 50 * time.Millisecond}, Handler: handler(func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
		err := w.Head(200, nil, -1)
		for err == nil {
			_, err = w.Write(make([]byte, 32<<10))
		}
		ended <- err
	})}))
	if err := p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	p.headers(1, true, get("/")...)
	if how, _, _ := p.ending(1); how != "reset INTERNAL_ERROR" {
		t.Error(how)
	}
	if err := <-ended; err == nil {
		t.Error("the write went on")
	}
}

// L14: a stream that nobody reads does not block the others: each has its own share of
// the window of the connection.
func TestServer_oneStreamThatIsNotReadHoldsUpNoOther(t *testing.T) {
	release := make(chan struct{})
	addr := listen(t, &Server{Limits: Limits{Streams: 4}, Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
		if r.Target == "/stuck" {
			<-release
			answer(w, 200, "")
			return
		}
		n, _ := io.Copy(io.Discard, r.Body) // a failure shows in its length
		if n != 100 {
			t.Error("the body is not whole:", n)
		}
		answer(w, 200, "hi")
	})})
	defer close(release)
	p := application(t, addr)
	p.headers(1, false, get("/stuck")...)
	for range streamWindow / (16 << 10) {
		if err := p.WriteData(1, false, make([]byte, 16<<10)); err != nil {
			t.Fatal(err)
		}
	}
	p.headers(3, false, get("/free")...)
	_ = p.WriteData(3, true, make([]byte, 100)) // a failure shows in the answer
	if how, status, _ := p.ending(3); how != "end" || status != "200" {
		t.Error(how, status)
	}
}

// L14: CVE-2023-44487 (https://github.com/golang/go/issues/63417) and CVE-2025-8671
// (https://kb.cert.org/vuls/id/767506): streams that end early, on either side,
// must not allow more concurrent calls than the limit of streams.
func TestServer_boundsCallsWhoseStreamsAreReset(t *testing.T) {
	for name, reset := range map[string]func(p *peer, stream uint32) error{
		"by the application (rapid reset)": func(p *peer, s uint32) error { return p.WriteRSTStream(s, http2.ErrCodeCancel) },
		"by us (made you reset)":           func(p *peer, s uint32) error { return p.WriteWindowUpdate(s, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			const streams = 8
			var now, most atomic.Int32
			release := make(chan struct{})
			addr := listen(t, &Server{Limits: Limits{Streams: streams}, Handler: handler(func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
				n := now.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				<-release // slower than the resets
				now.Add(-1)
				answer(w, 200, "")
			})})
			p := application(t, addr)
			var reading sync.WaitGroup
			reading.Go(func() { _, _ = io.Copy(io.Discard, p.Conn) }) // until the connection ends
			var err error
			for s := uint32(1); s < 2000 && err == nil; s += 2 {
				if err = p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: p.block(get("/")...), EndHeaders: true}); err == nil {
					err = reset(p, s)
				}
			}
			reading.Wait() // the connection was closed: the flood is over
			close(release)
			if n := most.Load(); n == 0 || n > streams {
				t.Errorf("%d calls at once", n)
			}
		})
	}
}

// L14: CVE-2023-45288 (https://github.com/golang/go/issues/65051): a header block that
// never ends is not kept or read for ever.
func TestServer_endsAFloodOfContinuation(t *testing.T) {
	p := application(t, listen(t, &Server{Handler: handler(ok)}))
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, p.Conn) }) // until the connection ends
	err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block(get("/")...)})
	part := p.block("x", string(make([]byte, 4000)))
	for i := 0; err == nil; i++ {
		if err = p.WriteContinuation(1, false, part); i > 10000 {
			t.Fatal("it is read on and on")
		}
	}
	reading.Wait()
}

// L14: an application sends frames that need answers and does not read these. The
// queue of answers is bounded, and then the connection ends (CVE-2019-9512,
// https://github.com/golang/go/issues/33606).
func TestServer_endsAFloodOfPings(t *testing.T) {
	p := application(t, listen(t, &Server{Limits: Limits{Ping: 100 * time.Millisecond}, Handler: handler(ok)}))
	var err error
	for i := 0; err == nil; i++ {
		if err = p.WritePing(false, [8]byte{}); i > 5_000_000 {
			t.Fatal("all were taken")
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still there:", err)
	}
}

// L14: while the application does not read, settings are acknowledged together, so that
// acknowledgements do not pile up and the connection goes on (CVE-2019-9515,
// https://github.com/Netflix/security-bulletins/blob/master/advisories/third-party/2019-002.md).
func TestServer_outlastsAFloodOfSettings(t *testing.T) {
	p := application(t, listen(t, &Server{Handler: handler(ok)}))
	for range 50_000 {
		if err := p.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16384}); err != nil {
			t.Fatal(err)
		}
	}
	p.headers(1, true, get("/")...)
	if how, status, _ := p.ending(1); how != "end" || status != "200" {
		t.Error(how, status)
	}
}

// L14: half a header block, a connection without a stream, and a silent connection.
func TestServer_endsConnectionsThatSayNothing(t *testing.T) {
	for name, test := range map[string]struct {
		limits Limits
		begin  func(p *peer)
	}{
		"idle": {Limits{Idle: 50 * time.Millisecond}, func(*peer) {}},
		"half a header block": {Limits{Ping: 50 * time.Millisecond}, func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block(get("/")...)}) // a failure shows in what follows
		}},
		"a stream whose application is gone": {Limits{Ping: 50 * time.Millisecond}, func(p *peer) {
			p.headers(1, false, get("/wait")...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := application(t, listen(t, &Server{Limits: test.limits, Handler: handler(func(ctx context.Context, _ http1.ResponseWriter, _ *http1.Request) { <-ctx.Done() })}))
			test.begin(p)
			for { // pings are not answered
				if _, err := p.ReadFrame(); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("it is still there")
				} else if err != nil {
					return
				}
			}
		})
	}
}

func TestServer_drains(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
		close(began)
		<-release
		answer(w, 200, "whole")
	})}
	p := application(t, listen(t, s))
	p.headers(1, true, get("/")...)
	await(t, "the call", began)
	over := make(chan error)
	go func() { over <- s.Shutdown(t.Context()) }()
	for {
		f, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*http2.GoAwayFrame); ok && f.ErrCode == 0 {
			break
		}
	}
	close(release)
	if how, status, body := p.ending(1); how != "end" || status != "200" || body != "whole" {
		t.Error(how, status, body)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	c, far := pair(t)
	s.ServeConn(far) // returns after closing the connection
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection was taken after the end")
	}
}

func TestServer_cutsOffWhatTakesTooLongToDrain(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: handler(func(ctx context.Context, _ http1.ResponseWriter, _ *http1.Request) {
		close(began)
		<-ctx.Done()
		close(ended)
	})}
	p := application(t, listen(t, s))
	p.headers(1, true, get("/")...)
	await(t, "the call", began)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	await(t, "its end", ended)
	if how, _, _ := p.ending(1); how == "end" {
		t.Error("it ended well")
	}
}

// L14: connections without a call are closed to make room, first those that never had
// one; a connection with a call under way is not closed
// (https://github.com/Netflix/security-bulletins/blob/master/advisories/third-party/2019-002.md).
func TestServer_makesRoomByClosingWhoeverAsksForNothing(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
		if r.Target == "/wait" {
			close(began)
			<-release
		}
		answer(w, 200, "")
	})}
	addr := listen(t, s)
	s.MakeRoom() // there are no connections
	asked := application(t, addr)
	asked.headers(1, true, get("/")...)
	if how, _, _ := asked.ending(1); how != "end" {
		t.Fatal(how)
	}
	busy := application(t, addr)
	busy.headers(1, true, get("/wait")...)
	await(t, "the call", began)
	silent := application(t, addr)
	if f, err := silent.ReadFrame(); err != nil {
		t.Fatal(f, err)
	}
	s.MakeRoom()
	silent.drain() // it is closed
	asked.headers(3, true, get("/")...)
	if how, _, _ := asked.ending(3); how != "end" {
		t.Error("who has asked was closed before who has not:", how)
	}
	s.MakeRoom()
	asked.drain() // it is closed
	s.MakeRoom()
	close(release)
	if how, status, _ := busy.ending(1); how != "end" || status != "200" {
		t.Error("a call under way was cut:", how, status)
	}
}
