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

	"github.com/lsm/fiso/link/internal/call"
)

// Limits bound what an application may take. Zero values stand for the
// defaults that are named.
type Limits struct {
	Head    int           // bytes of a header list, as RFC 9113 counts them; 32 KiB
	Streams int           // at once on a connection; 250
	Idle    time.Duration // a connection without a stream; 2 min
	Ping    time.Duration // a connection that says nothing is asked for a sign of life, and has half of this to give it; one that takes nothing is closed; 30 s
	Body    time.Duration // between two reads of a request's body, but of gRPC's, which may pause; 30 s
	Write   time.Duration // one write of an answer that no call's context bounds, and what is left at its end; 5 min
}

func (l Limits) withDefaults() Limits {
	if l.Head <= 0 {
		l.Head = 32 << 10
	}
	if l.Streams <= 0 {
		l.Streams = 250
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&l.Idle, 2 * time.Minute}, {&l.Ping, 30 * time.Second}, {&l.Body, 30 * time.Second}, {&l.Write, 5 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	return l
}

// streamWindow is what a stream may send ahead of its reader. A connection may
// send as much for each of its streams: one that nobody reads must not hold up
// the others.
const streamWindow = 256 << 10

// Server answers connections of applications that speak HTTP/2. Its fields are
// set before the first ServeConn and not changed after.
type Server struct {
	Limits  Limits
	Handler call.Handler
	// Refuse answers a request that is malformed, of which nothing else is to
	// be believed. code says what is wrong in a word, err in a sentence.
	Refuse func(w call.ResponseWriter, code call.Code, err error)

	bodyIdle atomic.Int64 // a longer Limits.Body

	once    sync.Once
	http    *http.Server
	conns   singleConnListener
	serving sync.WaitGroup

	mu   sync.Mutex
	open map[*conn]struct{}
}

func (s *Server) start() {
	s.once.Do(func() {
		s.Limits = s.Limits.withDefaults()
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		s.conns = singleConnListener{next: make(chan net.Conn), over: make(chan struct{})}
		s.http = &http.Server{
			Handler: http.HandlerFunc(s.serve), Protocols: protocols, DisableGeneralOptionsHandler: true,
			// Lists up to twice the limit are refused in our own words; beyond
			// that, net/http stops reading.
			MaxHeaderBytes: 2 * s.Limits.Head, IdleTimeout: s.Limits.Idle,
			ReadHeaderTimeout: 10 * time.Second, // of the preface
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: s.Limits.Streams, SendPingTimeout: s.ping(), PingTimeout: s.ping() / 2,
				MaxReadFrameSize:          64 << 10, // a write that moves nothing is ended by batched
				MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: streamWindow * s.Limits.Streams,
			},
			ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // what an application does wrong is told to it
			ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		}
		s.serving.Go(func() { _ = s.http.Serve(&s.conns) }) // it ends with Shutdown, and says no more than that
	})
}

// ServeConn serves a connection until it ends, and closes it. It returns when no
// call on it is left.
func (s *Server) ServeConn(nc net.Conn) {
	s.start()
	out := newBatched(nc, s.ping())
	c := &conn{Conn: newBounded(out, len(http2.ClientPreface)), closed: make(chan struct{}), since: time.Now()}
	s.track(c, true)
	defer s.track(c, false)
	if !s.conns.give(c) {
		_ = nc.Close() // we are stopping; the application will try another time
		return
	}
	<-c.closed
	c.calls.Wait()
	out.Wait()
}

// ping is Limits.Ping, or how long a stream may pause where that is longer: an
// application of one thread that pauses reads nothing, pings included. What the
// first connection finds counts for all.
func (s *Server) ping() time.Duration {
	return max(s.Limits.Ping, time.Duration(s.bodyIdle.Load()))
}

// BodiesMayPause says that a request's body may pause for so long, if that is
// longer than Limits.Body. It may be called at any time.
func (s *Server) BodiesMayPause(d time.Duration) { s.bodyIdle.Store(int64(d)) }

// Shutdown tells the applications that no further stream is served (GOAWAY), and
// waits until those under way have ended, or closes their connections when ctx
// ends and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.start()
	err := s.http.Shutdown(ctx)
	s.serving.Wait()
	if err == nil {
		err = s.http.Shutdown(ctx) // of a connection that net/http had taken and not yet counted
	}
	if err != nil {
		_ = s.http.Close() // what is left has had its time
	}
	return err
}

// serve answers one stream. A stream that does not get its whole answer is
// reset, so that nobody takes it for whole.
func (s *Server) serve(rw http.ResponseWriter, hr *http.Request) {
	c, _ := hr.Context().Value(connKey{}).(*conn)
	if !c.begin() {
		panic(http.ErrAbortHandler)
	}
	defer c.done()
	// What the application has sent, or will send, beyond what was read is kept no
	// longer, also where the last of the answer has to wait for its window.
	defer func() { _ = hr.Body.Close() }()
	stream := newStream(rw, s.Limits.Write)
	defer stream.end() // nobody touches it after this
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

// singleConnListener is a listener of connections that somebody else has accepted.
type singleConnListener struct {
	next chan net.Conn
	once sync.Once
	over chan struct{}
}

func (h *singleConnListener) give(c net.Conn) bool {
	select {
	case h.next <- c:
		return true
	case <-h.over:
		return false
	}
}

func (h *singleConnListener) Accept() (net.Conn, error) {
	select {
	case c := <-h.next:
		return c, nil
	case <-h.over:
		return nil, io.EOF
	}
}

func (h *singleConnListener) Close() error {
	h.once.Do(func() { close(h.over) })
	return nil
}

func (*singleConnListener) Addr() net.Addr { return &net.TCPAddr{} }

// conn is one connection of an application.
type conn struct {
	net.Conn
	mu     sync.Mutex
	over   bool
	busy   int       // calls under way
	asked  bool      // there was one
	since  time.Time // without a call
	closed chan struct{}
	calls  sync.WaitGroup
}

// begin counts a call, unless the connection is gone.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.calls.Add(1)
		c.busy++
		c.asked = true
	}
	return !c.over
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
	idle := c.busy == 0 && !c.over
	if idle {
		c.over = true
		close(c.closed)
	}
	c.mu.Unlock()
	if idle {
		_ = c.Conn.Close() // net/http finds it closed
	}
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.closed)
	}
	return err
}
