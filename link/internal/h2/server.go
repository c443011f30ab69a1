package h2

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// Limits limit what an application may use. A zero value means the default in the
// comment.
type Limits struct {
	Head    int           // bytes of a header list, counted as in RFC 9113; 32 KiB
	Streams int           // concurrent streams of a connection; 250
	Idle    time.Duration // longest time of a connection without a stream; 2 min
	// Ping is the time without data after which a connection is pinged; it has half of
	// this to answer. No write may go without progress for longer; 30 s.
	Ping time.Duration
	Body time.Duration // longest read of a request's body, except for gRPC, whose bodies may pause; 30 s
	// Write limits an answer that no context of a call limits, and its rest after the
	// handler has returned; 5 min.
	Write time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Head <= 0 {
		l.Head = 32 << 10
	}
	if l.Streams <= 0 {
		l.Streams = 250
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&l.Idle, 2 * time.Minute}, {&l.Ping, 30 * time.Second}, {&l.Body, 30 * time.Second}, {&l.Write, 5 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	return l
}

// streamWindow is how many bytes a stream may send ahead of its reader. The window of a
// connection is that of all its streams together, so that a stream that nobody reads
// does not block the others.
const streamWindow = 256 << 10

// Server serves connections of applications that speak HTTP/2. Set its fields before
// the first ServeConn and do not change them after.
type Server struct {
	Limits  Limits
	Handler http1.Handler
	// Refuse answers a malformed request, of which only code and err can be trusted.
	// code names the fault, and err describes it.
	Refuse func(w http1.ResponseWriter, code call.Code, err error)

	bodyIdle atomic.Int64 // nanoseconds; overrides Limits.Body if longer

	once    sync.Once
	http    *http.Server
	conns   handoffListener
	serving sync.WaitGroup

	mu   sync.Mutex
	open map[*conn]struct{}
}

func (s *Server) start() {
	s.once.Do(func() {
		s.Limits = s.Limits.withDefaults()
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		s.conns = handoffListener{next: make(chan net.Conn), stopped: make(chan struct{})}
		s.http = &http.Server{
			Handler: http.HandlerFunc(s.serve), Protocols: protocols, DisableGeneralOptionsHandler: true,
			// Header lists up to twice the limit are refused by this package; beyond
			// that, net/http stops reading.
			MaxHeaderBytes: 2 * s.Limits.Head, IdleTimeout: s.Limits.Idle,
			ReadHeaderTimeout: 10 * time.Second, // for the preface
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: s.Limits.Streams, SendPingTimeout: s.ping(), PingTimeout: s.ping() / 2,
				MaxReadFrameSize:          64 << 10, // the coalescer ends a write that makes no progress
				MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: streamWindow * s.Limits.Streams,
			},
			ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the application itself is told what it does wrong
			ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		}
		s.serving.Go(func() { _ = s.http.Serve(&s.conns) }) // its error only says that Shutdown was called
	})
}

// ServeConn serves a connection until it ends, and closes it. It returns when no call
// on it is under way.
func (s *Server) ServeConn(nc net.Conn) {
	s.start()
	out := newCoalescer(nc, s.ping())
	c := &conn{Conn: newGuardedConn(out, len(http2.ClientPreface)), closed: make(chan struct{}), since: time.Now()}
	s.track(c, true)
	defer s.track(c, false)
	if !s.conns.give(c) {
		_ = nc.Close() // the server is stopping; the application will retry
		return
	}
	<-c.closed
	c.calls.Wait()
	out.Wait()
}

// ping returns Limits.Ping, or how long a stream may pause if that is longer: a
// single-threaded application that pauses reads nothing, not even pings. The value at
// the first connection is used for all.
func (s *Server) ping() time.Duration {
	return max(s.Limits.Ping, time.Duration(s.bodyIdle.Load()))
}

// BodiesMayPause sets how long the body of a request may pause, if that is longer than
// Limits.Body. It may be called at any time.
func (s *Server) BodiesMayPause(d time.Duration) { s.bodyIdle.Store(int64(d)) }

// Shutdown tells the applications that no further streams are served (GOAWAY), and
// waits until those under way have ended. When ctx ends, it closes their connections
// and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.start()
	err := s.http.Shutdown(ctx)
	s.serving.Wait()
	if err == nil {
		err = s.http.Shutdown(ctx) // for a connection that net/http had accepted and not yet counted
	}
	if err != nil {
		_ = s.http.Close() // their time is up
	}
	return err
}

// serve answers one stream. A stream whose answer is not complete is reset, so that
// nobody takes it for complete.
func (s *Server) serve(rw http.ResponseWriter, hr *http.Request) {
	c, _ := hr.Context().Value(connKey{}).(*conn)
	if !c.begin() {
		panic(http.ErrAbortHandler)
	}
	defer c.done()
	// Unread bytes of the request body are dropped now, even if the rest of the answer
	// has to wait for its window.
	defer func() { _ = hr.Body.Close() }()
	stream := newStream(rw, s.Limits.Write)
	defer stream.end() // nothing may touch the stream after this
	w := &writer{http: rw, stream: stream, headOnly: hr.Method == http.MethodHead}
	r, err := s.request(hr, stream)
	var m *requestFault
	if errors.As(err, &m) {
		s.Refuse(w, m.code, m.err)
	} else {
		r.Remote = c.RemoteAddr()
		s.Handler.ServeCall(hr.Context(), w, r)
	}
	if !w.ended || w.err != nil {
		panic(http.ErrAbortHandler)
	}
}

type connKey struct{}

// handoffListener is a listener for connections that were accepted elsewhere.
type handoffListener struct {
	next    chan net.Conn
	once    sync.Once
	stopped chan struct{}
}

func (h *handoffListener) give(c net.Conn) bool {
	select {
	case h.next <- c:
		return true
	case <-h.stopped:
		return false
	}
}

func (h *handoffListener) Accept() (net.Conn, error) {
	select {
	case c := <-h.next:
		return c, nil
	case <-h.stopped:
		return nil, io.EOF
	}
}

func (h *handoffListener) Close() error {
	h.once.Do(func() { close(h.stopped) })
	return nil
}

func (*handoffListener) Addr() net.Addr { return &net.TCPAddr{} }

// conn is one connection of an application.
type conn struct {
	net.Conn
	mu       sync.Mutex
	isClosed bool
	busy     int       // calls under way
	asked    bool      // it has had a call
	since    time.Time // start of the time without a call
	closed   chan struct{}
	calls    sync.WaitGroup
}

// begin counts a call in, unless the connection is closed.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isClosed {
		c.calls.Add(1)
		c.busy++
		c.asked = true
	}
	return !c.isClosed
}

func (c *conn) done() {
	c.mu.Lock()
	c.busy--
	c.since = time.Now()
	c.mu.Unlock()
	c.calls.Done()
}

// evict closes the connection, unless a call has begun meanwhile.
func (c *conn) evict() {
	c.mu.Lock()
	idle := c.busy == 0 && !c.isClosed
	if idle {
		c.isClosed = true
		close(c.closed)
	}
	c.mu.Unlock()
	if idle {
		_ = c.Conn.Close() // net/http notices
	}
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isClosed {
		c.isClosed = true
		close(c.closed)
	}
	return err
}
