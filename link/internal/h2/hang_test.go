package h2

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

// lock is a connection of the library, one method of which waits for a lock until the
// test ends.
type lock struct {
	connection
	in   string
	at   chan struct{} // closed when a method waits
	once *sync.Once
	open chan struct{}
}

func (l *lock) wait(in string) {
	if l.in == in {
		l.once.Do(func() { close(l.at) })
		<-l.open
	}
}
func (l *lock) Err() error     { l.wait("Err"); return l.connection.Err() }
func (l *lock) Reserve() error { l.wait("Reserve"); return l.connection.Reserve() }
func (l *lock) Available() int { l.wait("Available"); return l.connection.Available() }
func (l *lock) Close() error   { l.wait("Close"); return l.connection.Close() }
func (l *lock) SetStateHook(hook func(*http.ClientConn)) {
	l.wait("SetStateHook")
	l.connection.SetStateHook(hook)
}
func (l *lock) RoundTrip(r *http.Request) (*http.Response, error) {
	l.wait("RoundTrip")
	a, err := l.connection.RoundTrip(r)
	if err == nil && (l.in == "Read" || l.in == "Body.Close") {
		a.Body = &lockedBody{a.Body, l}
	}
	return a, err
}

type lockedBody struct {
	body interface {
		Read(p []byte) (int, error)
		Close() error
	}
	l *lock
}

func (b *lockedBody) Read(p []byte) (int, error) { b.l.wait("Read"); return b.body.Read(p) }
func (b *lockedBody) Close() error               { b.l.wait("Body.Close"); return b.body.Close() }

// locking makes the first connection of a transport hang in a method.
func locking(t *testing.T, tr *Transport, in string) *lock {
	l := &lock{in: in, at: make(chan struct{}), once: new(sync.Once), open: make(chan struct{})}
	var first sync.Once
	connect := tr.pool.connect
	tr.pool.connect = func(ctx context.Context, endpoint string) (connection, *handshakeConn, error) {
		cc, raw, err := connect(ctx, endpoint)
		first.Do(func() { l.connection = cc; cc = l })
		return cc, raw, err
	}
	t.Cleanup(func() { close(l.open) })
	return l
}

// UL13: wherever the library waits for a lock that it never gets, the call ends in
// time, the calls beside it soon after, the next call gets another connection, and the
// transport closes.
func TestTransport_isNotHeldUpByALibraryThatLocksItself(t *testing.T) {
	for _, in := range []string{"Err", "Reserve", "Available", "SetStateHook", "RoundTrip", "Read", "Body.Close"} {
		t.Run(in, func(t *testing.T) {
			addr := target(t, func(p *peer) {
				for {
					_, s := p.awaitHead()
					if s == 0 {
						return
					}
					p.headers(s, false, ":status", "200")
					_ = p.WriteData(s, true, []byte("hi")) // a failure shows in the answer
				}
			})
			tr := NewTransport(TransportConfig{ReleaseTimeout: 200 * time.Millisecond})
			l := locking(t, tr, in)
			const timeout = 50 * time.Millisecond
			one := func(timeout time.Duration) (*http1.Answer, error) {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				o := out("POST")
				body := newBody(strings.NewReader("x"))
				o.Body, o.Length = body, 1
				a, err := tr.RoundTrip(ctx, addr, o, nil)
				if err == nil {
					buf := make([]byte, 10)
					for n := 0; err == nil && n < 3; n++ {
						_, err = a.Body.Read(buf)
					}
					_ = a.Body.Close() // must return
				}
				await(t, "the body to be closed", body.closed)
				return a, err
			}
			began := time.Now()
			_, err := one(timeout)
			if in == "Available" || in == "SetStateHook" || in == "Err" || in == "Reserve" {
				if r, sent := reason(t, err); r != http1.ReasonTimeout || sent {
					t.Error(err, sent)
				}
			} else if r, sent := reason(t, err); r != http1.ReasonTimeout || !sent {
				t.Error(err, sent)
			}
			if took := time.Since(began); took > patience/2 {
				t.Error("it took", took)
			}
			await(t, "the lock", l.at)
			beside := make(chan error, 1)
			go func() { _, err := one(patience); beside <- err }()
			select {
			case err := <-beside:
				if err.Error() != "EOF" { // unless it has another connection
					if r, _ := reason(t, err); r != http1.ReasonReset && r != http1.ReasonConnect || !strings.Contains(err.Error(), errHangs.Error()) {
						t.Error(err)
					}
				}
			case <-time.After(patience / 2):
				t.Fatal("the call beside it waits for the lock")
			}
			if _, err := one(patience); err.Error() != "EOF" {
				t.Error("the next call:", err)
			}
			closed := make(chan struct{})
			go func() { tr.Close(); close(closed) }()
			await(t, "the transport to close", closed)
		})
	}
}

// UL13: a transport closes in bounded time even if the library does not close a
// connection.
func TestTransport_closesAlthoughTheLibraryDoesNot(t *testing.T) {
	ended := make(chan struct{})
	addr := target(t, func(p *peer) {
		defer close(ended)
		_, s := p.awaitHead()
		p.headers(s, true, ":status", "200")
		p.drain()
	})
	tr := NewTransport(TransportConfig{})
	l := locking(t, tr, "Close")
	must(t, tr, addr)
	closed := make(chan struct{})
	go func() { tr.Close(); close(closed) }()
	await(t, "the transport to close", closed)
	await(t, "the lock", l.at)
	await(t, "the connection's end", ended)
}

// UL13: two frames that overflow a window end only their stream, at once.
// processWindowUpdate of net/http in Go 1.26 locks a mutex that it already holds.
func TestTransport_survivesWindowsThatOverflow(t *testing.T) {
	for name, test := range map[string]struct {
		do     func(p *peer, s uint32)
		reason http1.Reason
	}{
		"of a stream, twice": {func(p *peer, s uint32) {
			_ = p.WriteWindowUpdate(s, 1<<31-1) // a failure shows in the answer
			_ = p.WriteWindowUpdate(s, 1<<31-1) // likewise
		}, http1.ReasonGarbage},
		"of the connection, twice": {func(p *peer, _ uint32) {
			_ = p.WriteWindowUpdate(0, 1<<31-1) // likewise
			_ = p.WriteWindowUpdate(0, 1<<31-1) // likewise
		}, http1.ReasonReset},
		"by settings": {func(p *peer, s uint32) {
			_ = p.WriteWindowUpdate(s, 1<<31-1-65535)                                              // likewise
			_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}) // likewise
			_ = p.WriteWindowUpdate(s, 1)                                                          // likewise
			_ = p.WriteRSTStream(s, http2.ErrCodeInternal)                                         // likewise
		}, http1.ReasonReset},
		"by nothing, of a stream":       {func(p *peer, s uint32) { _ = p.WriteWindowUpdate(s, 0) }, http1.ReasonGarbage},
		"by nothing, of the connection": {func(p *peer, _ uint32) { _ = p.WriteWindowUpdate(0, 0) }, http1.ReasonReset},
		"a reset of a stream of nobody": {func(p *peer, s uint32) {
			_ = p.WriteRSTStream(s+100, http2.ErrCodeCancel)
			_ = p.WriteRSTStream(s, http2.ErrCodeCancel)
		}, http1.ReasonReset},
		"a window of a stream of nobody": {func(p *peer, s uint32) {
			_ = p.WriteWindowUpdate(s+100, 1<<31-1)
			_ = p.WriteRSTStream(s, http2.ErrCodeCancel)
		}, http1.ReasonReset},
		"settings whose window is no one": {func(p *peer, _ uint32) {
			_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}, http1.ReasonReset},
	} {
		t.Run(name, func(t *testing.T) {
			var first sync.Once
			addr := target(t, func(p *peer) {
				for {
					_, s := p.awaitHead()
					if s == 0 {
						return
					}
					broke := false
					first.Do(func() { broke = true; test.do(p, s) })
					if !broke {
						p.headers(s, true, ":status", "200")
					}
				}
			})
			tr := transport(t, TransportConfig{})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			o := out("POST")
			waiting, more := io.Pipe()
			defer func() { _ = more.Close() }() // never fails
			o.Body, o.Length = newBody(waiting), -1
			_, err := tr.RoundTrip(ctx, addr, o, nil)
			if r, sent := reason(t, err); r != test.reason || !sent {
				t.Error(err, sent)
			}
			must(t, tr, addr)
		})
	}
}
