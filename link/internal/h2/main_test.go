package h2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the longest wait of a test for an expected event.
const patience = 10 * time.Second

// peer is one end of a connection that speaks HTTP/2 frame by frame, and breaks its
// rules if a test wants so.
type peer struct {
	t testing.TB
	net.Conn
	*http2.Framer
	head bytes.Buffer
	enc  *hpack.Encoder
}

func newPeer(t testing.TB, c net.Conn) *peer {
	p := &peer{t: t, Conn: c, Framer: http2.NewFramer(c, c)}
	p.enc = hpack.NewEncoder(&p.head)
	p.Framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.Framer.AllowIllegalWrites = true
	_ = c.SetDeadline(time.Now().Add(patience)) // a failure shows in what follows
	return p
}

// block returns a header block of alternating names and values.
func (p *peer) block(fields ...string) []byte {
	p.head.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer never fails
	}
	return bytes.Clone(p.head.Bytes())
}

// headers sends a head. A failure shows in what follows.
func (p *peer) headers(stream uint32, end bool, fields ...string) {
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block(fields...), EndHeaders: true, EndStream: end})
}

// next returns the next frame of interest.
func (p *peer) next() (http2.Frame, error) {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.WriteSettingsAck() // a failure shows in the next read
			}
			continue
		case *http2.WindowUpdateFrame:
			continue
		}
		return f, nil
	}
}

// ending reads to the end of a stream and returns how it ended: "end", "reset N",
// "goaway N", or "closed". status and body are what came before.
func (p *peer) ending(stream uint32) (how, status, body string) {
	p.t.Helper()
	var b strings.Builder
	for {
		f, err := p.next()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				p.t.Error("nothing came")
			}
			return "closed", status, b.String()
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if f.ErrCode != 0 {
				return "goaway " + f.ErrCode.String(), status, b.String()
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return "reset " + f.ErrCode.String(), status, b.String()
			}
		case *http2.DataFrame:
			if f.StreamID == stream {
				b.Write(f.Data())
				_ = p.WriteWindowUpdate(0, max(f.Length, 1)) // a failure shows in the next read
				if f.StreamEnded() {
					return "end", status, b.String()
				}
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID != stream {
				continue
			}
			if s := f.PseudoValue("status"); s != "" && s[0] != '1' {
				status = s
			}
			if f.StreamEnded() {
				return "end", status, b.String()
			}
		}
	}
}

// handler is a function as an http1.Handler.
type handler func(ctx context.Context, w http1.ResponseWriter, r *http1.Request)

func (h handler) ServeCall(ctx context.Context, w http1.ResponseWriter, r *http1.Request) {
	h(ctx, w, r)
}

// answer sends an answer with a body.
func answer(w http1.ResponseWriter, status int, body string, fields ...http1.Field) {
	_ = w.Head(status, fields, int64(len(body))) // a failure shows in the test's client
	_, _ = io.WriteString(w, body)               // likewise
	_ = w.End(nil)                               // likewise
}

func ok(_ context.Context, w http1.ResponseWriter, _ *http1.Request) { answer(w, 200, "hi") }

func refuse(w http1.ResponseWriter, code call.Code, err error) { answer(w, code.Status(), err.Error()) }

// listen serves a handler until the test ends, and returns its address.
func listen(t testing.TB, s *Server) string {
	t.Helper()
	s.Refuse = refuse
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.ServeConn(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends Accept
		ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
		defer cancel()
		_ = s.Shutdown(ctx) // at once
		all.Wait()
	})
	return l.Addr().String()
}

// application returns a raw connection of an application after the HTTP/2 handshake.
func application(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test is over
	p := newPeer(t, c)
	_, err = io.WriteString(c, http2.ClientPreface)
	if err := errors.Join(err, p.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	return p
}

// get returns the head of a GET request.
func get(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":authority", "localhost", ":path", path}, more...)
}

// target serves connections frame by frame, each by do after the handshake, and returns
// its address.
func target(t testing.TB, do func(p *peer)) string {
	t.Helper()
	return plainTarget(t, func(c net.Conn) { beTarget(t, c, do) })
}

// beTarget makes the handshake of a target on c and calls do.
func beTarget(t testing.TB, c net.Conn, do func(p *peer)) {
	p := newPeer(t, c)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	if p.WriteSettings() == nil {
		do(p)
	}
}

func plainTarget(t testing.TB, do func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }() // in any state
				do(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends Accept
		all.Wait()
	})
	return l.Addr().String()
}

// awaitHead reads up to the head of a request and returns its stream; 0: the connection
// ended.
func (p *peer) awaitHead() (*http2.MetaHeadersFrame, uint32) {
	for {
		f, err := p.next()
		if err != nil {
			return nil, 0
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			return h, h.StreamID
		}
	}
}

// drain reads until the connection ends.
func (p *peer) drain() {
	for {
		if _, err := p.next(); err != nil {
			return
		}
	}
}

func transport(t testing.TB, cfg TransportConfig) *Transport {
	t.Helper()
	tr := NewTransport(cfg)
	t.Cleanup(tr.Close)
	return tr
}

func reason(t testing.TB, err error) (r http1.Reason, sent bool) {
	t.Helper()
	var failed *http1.Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, which is no *http1.Error", err)
	}
	return failed.Reason, failed.Sent
}

func await(t testing.TB, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatal("waited in vain for", what)
	}
}

// pair returns both ends of a connection.
func pair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	near, far = net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() }) // the test is over
	return near, far
}
