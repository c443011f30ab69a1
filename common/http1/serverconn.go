package http1

import (
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
	// maxUnread is how much of a request's body is read and thrown away to
	// keep its connection, when it was answered before it was read.
	maxUnread  = 256 << 10
	lingerTime = 2 * time.Second // a connection that is to close reads on for so long, without a bound on the bytes
)

// serverConn is one connection of an application.
type serverConn struct {
	server        *Server
	limits        Limits
	nc            net.Conn
	ctx           callctx.Context // ends with the connection
	in            buffer
	idle          idleRead
	buffers       *bufferPair // the buffers of in and w; nil: it has none
	body          body
	fields        Header // reused, as are these
	r             Request
	reader        requestBody
	w             writer
	began         sync.Mutex // see writer
	writeBound    writeBound
	watch         watch
	waitMu        sync.Mutex  // held while a deadline is set that ends a wait
	waits         wait        // for what; guarded by waitMu
	since         time.Time   // that it waits; guarded by waitMu
	asked         bool        // a request came before; guarded by waitMu
	interrupted   atomic.Bool // the body under way was interrupted
	until         time.Time   // the read deadline, unless it was moved since
	moved         atomic.Bool
	awaits100     bool // the application waits for 100 (Continue)
	bodyUncertain bool // it was answered instead, and may or may not send the body
}

func newServerConn(s *Server, nc net.Conn) *serverConn {
	c := &serverConn{server: s, limits: s.Limits.withDefaults(), nc: nc}
	c.in.conn = nc
	c.idle.init(c)
	c.body.b = &c.in
	c.reader.c = c
	c.r = Request{Remote: nc.RemoteAddr(), Body: &c.reader, Trailer: func() Header { return c.body.trailer }, Interrupt: c.interrupt}
	c.w.c = c
	return c
}

// bufferPair are the buffers of one connection while it has something to do.
type bufferPair struct {
	read  [readBuffer]byte
	write [writeBuffer]byte
}

var bufferPairs = sync.Pool{New: func() any { return new(bufferPair) }}

// takeBuffers gives an idle connection its buffers.
func (c *serverConn) takeBuffers() {
	if c.buffers == nil {
		c.buffers, _ = bufferPairs.Get().(*bufferPair)
	}
	c.in.data, c.in.r, c.in.w = c.buffers.read[:], 0, 0
	c.w.buf = c.buffers.write[:0]
}

// returnBuffers takes them from one that waits: what was read is used, and what was
// to be written is on its way. One that had to grow is not kept.
func (c *serverConn) returnBuffers() {
	c.in.data, c.w.buf = nil, nil
	if c.buffers != nil {
		bufferPairs.Put(c.buffers)
		c.buffers = nil
	}
}

// stop ends the connection: now if it waits for a request, else after its call.
func (c *serverConn) stop() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits == idle {
		c.readUntil(time.Unix(1, 0)) // wakes it; it sees that the server stops
	}
}

// evict ends the connection, unless a request has come meanwhile.
func (c *serverConn) evict() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits == idle || c.waits == half {
		c.waits = evicted
		c.readUntil(time.Unix(1, 0)) // wakes it
	}
}

// wait is what a connection waits for while no call of its is under way.
type wait uint8

const (
	nothing wait = iota // a call is under way
	idle                // a request
	half                // the rest of a head
	evicted             // its end: it made room
)

// waiting says what the connection waits for from now on, and whether that is
// its first request. It reports whether it may.
func (c *serverConn) waiting(what wait, first bool) bool {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits == evicted {
		return false
	}
	if c.waits == nothing {
		c.since = time.Now()
	}
	c.waits, c.asked = what, !first
	return true
}

func (c *serverConn) serve() {
	for first := true; ; first = false {
		head, err := c.await(first)
		if err != nil {
			c.fail(err)
			return
		}
		if first && c.isHTTP2(head) {
			return
		}
		parsed, err := parseRequest(head, c.fields[:0])
		if err != nil {
			status := http.StatusBadRequest
			if errors.Is(err, errFields) {
				status = http.StatusRequestHeaderFieldsTooLarge
			}
			c.fail(&malformed{status, err})
			return
		}
		c.fields = parsed.header
		if !c.serveOne(&parsed) || c.server.isStopping() {
			return
		}
	}
}

// malformed is a request that is refused before anybody looks at it.
type malformed struct {
	status int
	err    error
}

func (m *malformed) Error() string { return m.err.Error() }

// fail ends the connection, and says why where somebody may be listening.
func (c *serverConn) fail(err error) {
	var m *malformed
	if !errors.As(err, &m) {
		return
	}
	c.w.begin(false, false, 1)
	c.server.Refuse(&c.w, m.status, m.err)
	_ = c.w.flush() // the connection is closed next
	c.linger()
}

// linger reads on for a moment, so that the answer is not lost to the reset
// that closing a connection with unread bytes makes (RFC 9112, section 9.6).
func (c *serverConn) linger() {
	if tcp, ok := c.nc.(interface{ CloseWrite() error }); !ok || tcp.CloseWrite() != nil {
		return
	}
	c.readUntil(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c.nc) // what it sends is not needed any more
}

// one answers one request, and reports whether the connection can go on.
func (c *serverConn) serveOne(head *requestHead) bool {
	r := &c.r
	r.Method, r.Target, r.Host, r.Header, r.Length = head.method, head.target, head.host, head.header, head.length
	switch {
	case head.chunked:
		c.body.reset(byChunks, 0)
	default:
		r.Length = max(head.length, 0)
		c.body.reset(byLength, r.Length)
	}
	expect := head.header.Get("Expect")
	c.awaits100, c.bodyUncertain = Same(expect, "100-continue") && head.minor == 1 && !c.body.ended(), false
	c.interrupted.Store(false)
	if expect != "" && !Same(expect, "100-continue") {
		c.fail(&malformed{http.StatusExpectationFailed, ErrExpect})
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
	case !c.w.finish():
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

// cutOff has the connection end with a reset where its end would be taken for
// that of the body. Elsewhere it must not: a reset takes with it what was sent,
// and the application is to see what there was of its answer.
func (c *serverConn) cutOff() {
	_ = c.w.flush() // it is cut off in any case
	if tcp, ok := c.nc.(*net.TCPConn); ok && c.w.untilClose() {
		_ = tcp.SetLinger(0) // it is closed in any case
	}
}

// upgrade is the protocol that a request asks for, if it does so by the rules:
// a GET of HTTP/1.1 without a body, and Connection names Upgrade.
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
		return "" // RFC 9113 has done away with it; behind it nothing could be seen
	}
	return to
}
