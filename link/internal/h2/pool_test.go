package h2

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// counting counts dialled connections.
func counting(n *atomic.Int32) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		n.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// answering answers each request at once.
func answering(p *peer) {
	for {
		_, s := p.awaitHead()
		if s == 0 {
			return
		}
		p.headers(s, true, ":status", "200")
	}
}

func must(t testing.TB, tr *Transport, addr string) {
	t.Helper()
	a, err := tr.RoundTrip(t.Context(), addr, out("GET"), nil)
	if _, err := read(t, a, err); err != nil {
		t.Error(err)
	}
}

func TestPool_callsShareAConnection(t *testing.T) {
	var dials atomic.Int32
	addr := target(t, answering)
	tr := transport(t, TransportConfig{Dial: counting(&dials)})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { must(t, tr, addr) })
	}
	all.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestPool_keepsToTheStreamsThatATargetTakes(t *testing.T) {
	var dials atomic.Int32
	addr := plainTarget(t, func(c net.Conn) {
		p := newPeer(t, c)
		_, _ = c.Read(make([]byte, len(http2.ClientPreface)))                             // a failure shows in the frames
		_ = p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}) // likewise
		open := 0
		for {
			f, err := p.next()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				if open++; open > 1 {
					t.Error("two streams at once")
				}
				p.headers(f.StreamID, false, ":status", "200")
			case *http2.RSTStreamFrame:
				open--
			}
		}
	})
	tr := transport(t, TransportConfig{Dial: counting(&dials)})
	var answers []*http1.Answer
	for range 3 {
		a, err := tr.RoundTrip(t.Context(), addr, out("GET"), nil)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	for _, a := range answers {
		_ = a.Body.Close() // its stream is free again
	}
	if n := dials.Load(); n != 3 {
		t.Errorf("%d connections for three streams", n)
	}
}

func TestPool_replacesAConnection(t *testing.T) {
	for name, test := range map[string]struct {
		cfg TransportConfig
		do  func(p *peer) // after the first answer
	}{
		"that was closed":        {TransportConfig{}, func(*peer) {}},
		"that goes away":         {TransportConfig{}, func(p *peer) { _ = p.WriteGoAway(1, http2.ErrCodeNo, nil); p.drain() }},
		"that is old":            {TransportConfig{Age: time.Nanosecond}, func(p *peer) { p.drain() }},
		"that was idle for long": {TransportConfig{Idle: 20 * time.Millisecond}, func(p *peer) { p.drain() }},
		"that gives no sign of life": {TransportConfig{Ping: 200 * time.Millisecond}, func(p *peer) { // long enough for a call
			for {
				if _, err := p.ReadFrame(); err != nil { // pings are not answered
					return
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int32
			ended := make(chan struct{}, 100)
			addr := target(t, func(p *peer) {
				_, s := p.awaitHead()
				p.headers(s, true, ":status", "200")
				test.do(p)
				ended <- struct{}{}
			})
			test.cfg.Dial = counting(&dials)
			tr := transport(t, test.cfg)
			must(t, tr, addr)
			if name == "that goes away" || name == "that is old" {
				for dials.Load() < 2 { // noticing the end may take a moment
					a, err := tr.RoundTrip(t.Context(), addr, out("GET"), nil)
					if err == nil {
						_, err = read(t, a, err)
					}
					if err != nil {
						if _, sent := reason(t, err); sent {
							t.Fatal(err)
						}
					}
				}
			} else {
				await(t, "the connection's end", ended)
				for deadline := time.Now().Add(patience); tr.places() > 0 && time.Now().Before(deadline); {
					<-time.After(time.Millisecond)
				}
				if tr.places() > 0 {
					t.Error("a dead connection is kept")
				}
			}
			if name != "that goes away" { // another call would meet the next connection that goes away
				must(t, tr, addr)
			}
			if n := dials.Load(); n < 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// places returns the number of endpoints with connections.
func (t *Transport) places() int {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	return len(t.pool.endpoints)
}

// A call that leaves while a connection is dialled does not affect the other calls.
func TestPool_thoseWhoWaitShareADial(t *testing.T) {
	addr := target(t, answering)
	dialling, release := make(chan struct{}), make(chan struct{})
	var dials atomic.Int32
	tr := transport(t, TransportConfig{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		close(dialling)
		<-release
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := tr.RoundTrip(ctx, addr, out("GET"), nil)
		first <- err
	}()
	await(t, "the dial", dialling)
	var others sync.WaitGroup
	for range 5 {
		others.Go(func() { must(t, tr, addr) })
	}
	cancel()
	if r, sent := reason(t, <-first); r != http1.ReasonGone || sent {
		t.Error(r, sent)
	}
	close(release)
	others.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
}

func TestPool_closes(t *testing.T) {
	ended := make(chan struct{})
	addr := target(t, func(p *peer) {
		_, s := p.awaitHead()
		p.headers(s, false, ":status", "200")
		_ = p.WriteData(s, false, []byte("half")) // a failure shows in the answer
		if how, _, _ := p.ending(s); how != "reset CANCEL" {
			t.Error("a stream under way was cut:", how)
		}
		p.drain()
		close(ended)
	})
	tr := NewTransport(TransportConfig{})
	a, err := tr.RoundTrip(t.Context(), addr, out("GET"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr.Close()
	if _, err := a.Body.Read(make([]byte, 4)); err != nil {
		t.Error("an answer under way was cut:", err)
	}
	_, err = tr.RoundTrip(t.Context(), addr, out("GET"), nil)
	if r, sent := reason(t, err); r != http1.ReasonConnect || sent || !errors.Is(err, errClosed) {
		t.Error(err)
	}
	_ = a.Body.Close() // the last use of the connection
	await(t, "the connection's end", ended)
}

// A connection that is dialled while the transport closes is closed, too.
func TestPool_closesWhileItDials(t *testing.T) {
	dialling := make(chan struct{})
	tr := NewTransport(TransportConfig{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}})
	failed := make(chan error)
	go func() {
		_, err := tr.RoundTrip(t.Context(), "127.0.0.1:1", out("GET"), nil)
		failed <- err
	}()
	await(t, "the dial", dialling)
	tr.Close()
	if r, sent := reason(t, <-failed); r != http1.ReasonConnect || sent {
		t.Error(r, sent)
	}
}

// Endpoints that could not be reached leave nothing in the pool.
func TestPool_forgetsAnEndpointThatIsNotReached(t *testing.T) {
	tr := transport(t, TransportConfig{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }})
	for _, endpoint := range []string{"10.0.0.1:1", "10.0.0.2:1"} {
		if _, err := tr.RoundTrip(t.Context(), endpoint, out("GET"), nil); err == nil {
			t.Fatal("it was reached")
		}
	}
	if n := tr.places(); n != 0 {
		t.Errorf("%d endpoints are kept", n)
	}
}

// A connection may end after a call took it and before the call uses it.
func TestPool_aConnectionThatEndsBeforeItIsUsedSaysNothing(t *testing.T) {
	tr := transport(t, TransportConfig{})
	a := tr.attempt(t.Context(), nil)
	c, err := tr.pool.take(t.Context(), target(t, answering), a)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.http.Close() // a failure shows in what follows
	defer c.release(a)
	_, err = c.http.RoundTrip(a.request("http", out("GET")))
	if err == nil {
		t.Fatal("it was used")
	}
	if failed := a.failed(err); failed.Reason != call.ReasonUnserved || failed.Sent {
		t.Error(failed, failed.Sent)
	}
}

// takenAway is a connection whose calls end when they get their stream.
type takenAway struct {
	connection
	end func()
}

func (c *takenAway) Reserve() error {
	c.end()
	return c.connection.Reserve()
}

// UL38: a call that ended between getting its stream and using it was taken for an
// answered one, and panicked.
func TestTransport_aCallThatEndsAsItGetsItsStreamFails(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*attempt, *callctx.Context)
		want http1.Reason
	}{
		"its application left":        {func(_ *attempt, life *callctx.Context) { life.End(context.Canceled) }, http1.ReasonGone},
		"its connection was given up": {func(a *attempt, _ *callctx.Context) { a.connectionLost() }, http1.ReasonReset},
	} {
		t.Run(name, func(t *testing.T) {
			at, tr := target(t, answering), transport(t, TransportConfig{})
			life := &callctx.Context{}
			life.Begin(t.Context())
			defer life.End(context.Canceled)
			a := tr.attempt(life, nil)
			defer a.detach()
			connect := tr.pool.connect
			tr.pool.connect = func(ctx context.Context, endpoint string) (connection, *handshakeConn, error) {
				c, raw, err := connect(ctx, endpoint)
				return &takenAway{c, func() { test.end(a, life) }}, raw, err
			}
			a.run(at, out("POST"))
			var failed *http1.Error
			if err := a.await(); !errors.As(err, &failed) || failed.Reason != test.want || failed.Sent {
				t.Errorf("%v", err)
			}
		})
	}
}
