package h2

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

// piped serves one connection without a network until the test ends, and returns the
// application side.
func piped(t *testing.T, s *Server) *peer {
	t.Helper()
	near, far := pair(t)
	s.Refuse = refuse
	var served sync.WaitGroup
	served.Go(func() { s.ServeConn(far) })
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = near.Close()    // the test is over
		_ = s.Shutdown(ctx) // at once
		served.Wait()
	})
	p := newPeer(t, near)
	_ = near.SetDeadline(time.Now().Add(24 * time.Hour)) // a failure shows in what follows
	_, err := io.WriteString(near, http2.ClientPreface)
	if err := errors.Join(err, p.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	return p
}

// A timeout limits one read or one write. An answer that pauses, and a body that nobody
// reads because its target is slow, are ended only by the limits of their call.
func TestServer_limitsWaitsAndNoRests(t *testing.T) {
	for name, do := range map[string]func(body io.Reader) error{
		"an answer that rests": func(io.Reader) error { return nil },
		"a body that is not asked for": func(body io.Reader) error {
			_, err := io.ReadFull(body, make([]byte, 1))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := piped(t, &Server{Limits: Limits{Ping: 24 * time.Hour}, Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
					err := w.Head(200, nil, -1)
					for range 2 {
						_, werr := io.WriteString(w, "a")
						err = errors.Join(err, werr, w.Flush(), do(r.Body))
						time.Sleep(time.Hour)
					}
					if _, rerr := io.ReadAll(r.Body); err != nil || rerr != nil {
						t.Error(err, rerr)
					}
					_ = w.End(nil) // a failure shows in the application
				})})
				p.headers(1, false, get("/")...)
				_ = p.WriteData(1, false, []byte("b")) // a failure shows in the handler
				for f := http2.Frame(nil); f == nil || f.Header().Type != http2.FrameData; {
					var err error
					if f, err = p.next(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(50 * time.Minute)
				_ = p.WriteData(1, true, []byte("c")) // likewise
				if how, _, body := p.ending(1); how != "end" || body != "a" {
					t.Errorf("%s %q", how, body)
				}
			})
		})
	}
}

// L14: the received part of a body that nobody will read is not kept while the answer
// waits for its window
// (https://github.com/Netflix/security-bulletins/blob/master/advisories/third-party/2019-002.md).
func TestServer_keepsNothingOfABodyOnceItIsAnswered(t *testing.T) {
	const streams = 200
	p := application(t, listen(t, &Server{Handler: handler(ok)}))
	_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) // a failure shows in the answers
	for i := range streams {
		p.headers(uint32(2*i+1), false, get("/")...)
	}
	for range streams {
		if h, _ := p.awaitHead(); h == nil {
			t.Fatal("no answer")
		}
	}
	before := heap()
	data := make([]byte, 16<<10)
	for i := range streams {
		for range streamWindow / len(data) {
			_ = p.WriteData(uint32(2*i+1), false, data) // a failure shows in the ping
		}
	}
	_ = p.WritePing(false, [8]byte{1}) // likewise
	for {
		f, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*http2.PingFrame); ok && f.IsAck() {
			break // everything was accepted
		}
	}
	if kept := heap() - before; kept > streams*streamWindow/4 {
		t.Errorf("%d bytes are kept", kept)
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc) //nolint:gosec // G115: far below
}

// UL3: an application may keep its window closed for as long as its call may take. The
// end of the call ends a waiting write, and not what is written after it.
func TestServer_aCallsContextAloneEndsAWriteThatWaits(t *testing.T) {
	for _, row := range []struct {
		name    string
		answers bool // before the end
		how     string
	}{{"while it writes", true, "reset INTERNAL_ERROR"}, {"before it writes", false, "end"}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took := make(chan time.Duration, 1)
				p := piped(t, &Server{Limits: Limits{Ping: 24 * time.Hour}, Handler: handler(func(outer context.Context, w http1.ResponseWriter, _ *http1.Request) {
					began := time.Now()
					ctx, cancel := context.WithTimeout(outer, time.Hour)
					defer cancel()
					w.Bound(ctx)
					if row.answers {
						err := w.Head(200, nil, -1)
						for err == nil {
							_, err = w.Write(make([]byte, 32<<10))
						}
					}
					<-ctx.Done()
					w.Unbound()
					took <- time.Since(began)
					if !row.answers {
						_ = w.Head(504, nil, 0)
						_ = w.End(nil)
					}
				})})
				p.headers(1, true, get("/")...)
				if how := p.endingUnread(); how != row.how {
					t.Error(how)
				}
				if d := <-took; d != time.Hour {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// endingUnread is ending without opening a window.
func (p *peer) endingUnread() string {
	for {
		f, err := p.next()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			return "reset " + f.ErrCode.String()
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				return "end"
			}
		}
	}
}

// UL3: an application that does not read its connection for a while, and so answers no
// ping, still gets the rest of its answer.
func TestServer_keepsAConnectionThatPausesAsAStreamMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 200 << 10
		s := &Server{Handler: handler(func(ctx context.Context, w http1.ResponseWriter, _ *http1.Request) {
			w.Bound(ctx)
			err := w.Head(200, nil, size)
			_, werr := w.Write(make([]byte, size))
			if err := errors.Join(err, werr, w.End(nil)); err != nil {
				t.Error(err)
			}
		})}
		s.BodiesMayPause(5 * time.Minute)
		p := piped(t, s)
		_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: size}) // a failure shows in what follows
		_ = p.WriteWindowUpdate(0, size)
		p.headers(1, true, get("/")...)
		time.Sleep(4 * time.Minute)
		if how, _, body := p.ending(1); how != "end" || len(body) != size {
			t.Error(how, len(body))
		}
	})
}
