package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

const (
	readBuffer  = 4 << 10 // of a connection; a larger head makes it grow
	writeBuffer = 4 << 10
	// maxUnread bounds the unread body that is discarded to keep a connection.
	maxUnread  = 256 << 10
	lingerTime = 2 * time.Second // see linger
)

// serverConn is one connection of an application.
type serverConn struct {
	server        *Server
	limits        Limits
	nc            net.Conn
	ctx           callctx.Context // ends with the connection
	in            buffer
	idle          idleRead
	buffers       *bufferPair // the buffers of in and w; nil while it is idle
	body          body
	fields        Header // reused for each request, like the next four
	r             Request
	reader        requestBody
	w             writer
	began         sync.Mutex // see writer
	writeBound    writeBound
	watch         watch
	waitMu        sync.Mutex  // guards the next three, and the deadline that ends a wait
	waits         wait        // what the connection waits for
	since         time.Time   // when the wait began
	asked         bool        // a request came before
	interrupted   atomic.Bool // the body of the current request was interrupted
	awaits100     bool        // the application waits for 100 (Continue)
	bodyUncertain bool        // no 100 (Continue) was sent, so the body may come or not
}

func newServerConn(s *Server, nc net.Conn) *serverConn {
	c := &serverConn{server: s, limits: s.Limits.withDefaults(), nc: nc}
	c.in.conn = nc
	c.idle.init(c)
	c.body.b = &c.in
	c.reader.c = c
	c.r = Request{Remote: nc.RemoteAddr(), Body: &c.reader, Trailer: func() Header { return c.body.trailer }, Interrupt: c.interrupt}
	c.w.c = c
	c.writeBound.hook = &callctx.Hook{Do: c.cutWrite}
	return c
}

// bufferPair holds the buffers of one connection that is not idle.
type bufferPair struct {
	read  [readBuffer]byte
	write [writeBuffer]byte
}

var bufferPairs = sync.Pool{New: func() any { return new(bufferPair) }}

func (c *serverConn) takeBuffers() {
	if c.buffers == nil {
		c.buffers, _ = bufferPairs.Get().(*bufferPair)
	}
	c.in.data, c.in.r, c.in.w = c.buffers.read[:], 0, 0
	c.w.buf = c.buffers.write[:0]
}

// returnBuffers is called while both buffers are empty. A buffer that has grown is not
// reused.
func (c *serverConn) returnBuffers() {
	c.in.data, c.w.buf = nil, nil
	if c.buffers != nil {
		bufferPairs.Put(c.buffers)
		c.buffers = nil
	}
}

func (c *serverConn) serve() {
	for first := true; ; first = false {
		head, err := c.await(first)
		if err != nil {
			c.fail(err)
			return
		}
		if first && c.serveHTTP2(head) {
			return
		}
		parsed, err := parseRequest(head, c.fields[:0])
		if err != nil {
			status := http.StatusBadRequest
			if errors.Is(err, errFields) {
				status = http.StatusRequestHeaderFieldsTooLarge
			}
			c.fail(&malformed{status: status, err: err})
			return
		}
		c.fields = parsed.header
		if !c.serveOne(&parsed) || c.server.stopping.Load() {
			return
		}
	}
}

// malformed refuses a request before the handler sees it.
type malformed struct {
	status   int
	err      error
	headOnly bool // it is a HEAD, whose answer has no body
}

func (m *malformed) Error() string { return m.err.Error() }

// fail answers a malformed request before the connection ends.
func (c *serverConn) fail(err error) {
	var m *malformed
	if !errors.As(err, &m) {
		return
	}
	c.w.begin(false, m.headOnly, 1)
	c.server.Refuse(&c.w, m.status, m.err)
	_ = c.w.Flush() // the connection is closed next
	c.linger()
}

// linger reads for a while before the connection is closed. Closing a connection with
// unread bytes sends a reset, which may destroy the answer on its way (RFC 9112,
// section 9.6).
func (c *serverConn) linger() {
	if tcp, ok := c.nc.(interface{ CloseWrite() error }); !ok || tcp.CloseWrite() != nil {
		return
	}
	c.readUntil(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c.nc) // nobody needs it
}

// serveOne answers one request, and reports whether the connection stays open.
func (c *serverConn) serveOne(head *requestHead) bool {
	r := &c.r
	r.Method, r.Target, r.Host, r.Header, r.Length = head.method, head.target, head.host, head.header, head.length
	if head.chunked {
		c.body.reset(byChunks, 0)
	} else {
		r.Length = max(head.length, 0)
		c.body.reset(byLength, r.Length)
	}
	expect := head.header.Get("Expect")
	c.awaits100, c.bodyUncertain = Same(expect, "100-continue") && head.minor == 1 && !c.body.ended(), false
	c.interrupted.Store(false)
	if expect != "" && !Same(expect, "100-continue") {
		c.fail(&malformed{http.StatusExpectationFailed, ErrExpect, head.method == "HEAD"})
		return false
	}
	r.Upgrade = upgrade(head, c.body.ended())
	keep := !head.close && (head.minor == 1 || head.keep)
	c.w.begin(keep, head.method == "HEAD", head.minor)
	c.w.awaited = c.awaits100
	c.watch.start(c)
	c.server.Handler.ServeCall(&c.ctx, &c.w, r)
	c.watch.stop(c)
	switch {
	case c.w.upgraded:
		return false
	case !c.w.complete():
		c.cutOff()
		return false
	case c.discard() && c.w.keep && c.ctx.Err() == nil:
		return true
	}
	if !c.body.ended() || c.in.unused() > 0 {
		c.linger()
	}
	return false
}

// cutOff ends an incomplete answer. If the end of the connection would look like the end
// of the body, the connection ends with a reset. Otherwise it must not: a reset may
// destroy the part of the answer that is on its way.
func (c *serverConn) cutOff() {
	_ = c.w.Flush() // the connection is closed in any case
	nc := c.nc
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn() // closed below TLS, because close_notify would end the body well
	}
	if tcp, ok := nc.(*net.TCPConn); ok && c.w.untilClose() {
		_ = tcp.SetLinger(0) // the same
		_ = tcp.Close()      // the same
	}
}

// upgrade is the protocol that a request asks to change to, or "". Only a GET of
// HTTP/1.1 without a body, whose Connection names Upgrade, may ask.
func upgrade(head *requestHead, empty bool) string {
	to, fields := "", 0
	for _, f := range head.header {
		if Same(f.Name, "Upgrade") {
			to = f.Value
			fields++
		}
	}
	if fields != 1 || head.minor == 0 || head.method != "GET" || !empty || !allIn(&isToken, to) || !head.header.HasToken("Connection", "upgrade") {
		return ""
	}
	if Same(to, "h2c") {
		return "" // RFC 9113 has removed it, and its calls would pass unchecked
	}
	return to
}
