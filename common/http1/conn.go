package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
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
	maxUnread = 256 << 10
	lingers   = 2 * time.Second                    // a connection that is to close reads on for so long, without a bound on the bytes
	preface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4
)

// conn is one connection of an application.
type conn struct {
	server *Server
	limits Limits
	nc     net.Conn
	ctx    callctx.Context // ends with the connection
	in     buffer
	rest   rest
	lent   *pair // the buffers of in and w; nil: it has none
	body   body
	fields Header // reused, as are these
	r      Request
	reader requestBody
	w      writer
	began  sync.Mutex // see writer
	bound  bound
	watch  watch
	cutMu  sync.Mutex  // held while a deadline is set that ends a wait
	waits  wait        // for what; guarded by cutMu
	since  time.Time   // that it waits; guarded by cutMu
	asked  bool        // a request came before; guarded by cutMu
	cut    atomic.Bool // the body under way was interrupted
	until  time.Time   // the read deadline, unless it was moved since
	moved  atomic.Bool
	lazy   bool // the application waits for 100 (Continue)
	unsure bool // it was answered instead, and may or may not send the body
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, limits: s.Limits.withDefaults(), nc: nc}
	c.in.conn = nc
	c.rest.init(c)
	c.body.b = &c.in
	c.reader.c = c
	c.r = Request{Remote: nc.RemoteAddr(), Body: &c.reader, Trailer: func() Header { return c.body.trailer }, Interrupt: c.interrupt}
	c.w.c = c
	return c
}

// pair are the buffers of one connection while it has something to do.
type pair struct {
	read  [readBuffer]byte
	write [writeBuffer]byte
}

var pairs = sync.Pool{New: func() any { return new(pair) }}

// lend gives an idle connection its buffers.
func (c *conn) lend() {
	if c.lent == nil {
		c.lent, _ = pairs.Get().(*pair)
	}
	c.in.data, c.in.r, c.in.w = c.lent.read[:], 0, 0
	c.w.buf = c.lent.write[:0]
}

// giveBack takes them from one that waits: what was read is used, and what was
// to be written is on its way. One that had to grow is not kept.
func (c *conn) giveBack() {
	c.in.data, c.w.buf = nil, nil
	if c.lent != nil {
		pairs.Put(c.lent)
		c.lent = nil
	}
}

// stop ends the connection: now if it waits for a request, else after its call.
func (c *conn) stop() {
	c.cutMu.Lock()
	defer c.cutMu.Unlock()
	if c.waits == idle {
		c.readUntil(time.Unix(1, 0)) // wakes it; it sees that the server stops
	}
}

// evict ends the connection, unless a request has come meanwhile.
func (c *conn) evict() {
	c.cutMu.Lock()
	defer c.cutMu.Unlock()
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
func (c *conn) waiting(what wait, first bool) bool {
	c.cutMu.Lock()
	defer c.cutMu.Unlock()
	if c.waits == evicted {
		return false
	}
	if c.waits == nothing {
		c.since = time.Now()
	}
	c.waits, c.asked = what, !first
	return true
}

func (c *conn) serve() {
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
		if !c.one(&parsed) || c.server.isStopping() {
			return
		}
	}
}

// maxEmpty is how many empty lines may come before a request. Some applications end
// a body with one that does not belong to it (RFC 9112, section 2.2).
const maxEmpty = 4

// begins waits for the beginning of a request.
func (c *conn) begins(first bool) error {
	for empty := 0; ; empty++ {
		if c.in.unused() == 0 {
			c.waitDeadline(first)
			c.waiting(idle, first)
			if c.server.isStopping() {
				return errGone
			}
			err := c.rest.fill()
			if !c.waiting(nothing, first) || err != nil { // from here on nobody else touches the deadline
				return errGone // between two requests there is nobody to tell
			}
		}
		if empty < maxEmpty && c.in.halfEmpty() {
			if err := c.more(first, func() error { return c.in.fill(c.limits.Head) }); err != nil {
				return err
			}
		}
		if empty == maxEmpty || !c.in.skipEmpty() {
			return nil
		}
	}
}

// more reads on in a head, or in an empty line before it, for as long as a head may
// take.
func (c *conn) more(first bool, read func() error) error {
	c.readUntil(time.Now().Add(c.limits.HeadTimeout))
	c.waiting(half, first)
	err := read()
	if !c.waiting(nothing, first) {
		return errGone
	}
	return err
}

// await reads the head of the next request.
func (c *conn) await(first bool) (string, error) {
	var head string
	err := c.begins(first)
	if err == nil {
		head, err = c.in.wholeHead(c.limits.Head)
	}
	if head == "" && err == nil {
		err = c.more(first, func() (err error) {
			head, err = c.in.head(c.limits.Head, "")
			return err
		})
	}
	switch {
	case err == nil:
		return head, nil
	case errors.Is(err, errHeadTooLarge):
		return "", &malformed{http.StatusRequestHeaderFieldsTooLarge, errors.New("the head of the request is larger than " + c.limits.HeadSetting)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", &malformed{http.StatusRequestTimeout, errors.New("the head of the request did not come in time")}
	}
	return "", errGone
}

// waitDeadline gives the wait for a request its time. Moving a deadline costs as
// much as a small read, so one that has three quarters of its time left stays.
func (c *conn) waitDeadline(first bool) {
	if first { // who connects has something to say
		c.readUntil(time.Now().Add(c.limits.HeadTimeout))
		return
	}
	now, most := time.Now(), c.limits.Idle
	if c.moved.Swap(false) || c.until.Sub(now) < most-most/4 {
		c.until = now.Add(most)
		_ = c.nc.SetReadDeadline(c.until) // a failure shows in the read that follows
	}
}

// readUntil moves the deadline of reads. A failure shows in the read.
func (c *conn) readUntil(at time.Time) {
	c.moved.Store(true)
	_ = c.nc.SetReadDeadline(at)
}

// malformed is a request that is refused before anybody looks at it.
type malformed struct {
	status int
	err    error
}

func (m *malformed) Error() string { return m.err.Error() }

// fail ends the connection, and says why where somebody may be listening.
func (c *conn) fail(err error) {
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
func (c *conn) linger() {
	if tcp, ok := c.nc.(interface{ CloseWrite() error }); !ok || tcp.CloseWrite() != nil {
		return
	}
	c.readUntil(time.Now().Add(lingers))
	_, _ = io.Copy(io.Discard, c.nc) // what it sends is not needed any more
}

// isHTTP2 hands a connection over that speaks HTTP/2.
func (c *conn) isHTTP2(head string) bool {
	const start = "PRI * HTTP/2.0\r\n\r\n"
	if head != start {
		return false
	}
	c.readUntil(time.Now().Add(c.limits.HeadTimeout))
	for len(start)+c.in.unused() < len(preface) {
		if c.in.fill(c.limits.Head) != nil {
			return true
		}
	}
	if string(c.in.data[c.in.r:c.in.r+len(preface)-len(start)]) != preface[len(start):] || c.server.HTTP2 == nil {
		c.fail(&malformed{http.StatusBadRequest, errors.New("HTTP/2 is not served here")})
		return true
	}
	c.readUntil(time.Time{}) // whoever takes it sets its own
	c.server.HTTP2(&replayed{Conn: c.nc, before: start + string(c.in.data[c.in.r:c.in.w])})
	return true
}

// replayed is a connection of which something was read already.
type replayed struct {
	net.Conn
	before string
}

func (r *replayed) Read(p []byte) (int, error) {
	if r.before == "" {
		return r.Conn.Read(p)
	}
	n := copy(p, r.before)
	r.before = r.before[n:]
	return n, nil
}

// one answers one request, and reports whether the connection can go on.
func (c *conn) one(head *requestHead) bool {
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
	c.lazy, c.unsure = Same(expect, "100-continue") && head.minor == 1 && !c.body.over(), false
	c.cut.Store(false)
	if expect != "" && !Same(expect, "100-continue") {
		c.fail(&malformed{http.StatusExpectationFailed, ErrExpect})
		return false
	}
	r.Upgrade = upgrade(head, c.body.over())
	keep := !head.close && (head.minor == 1 || head.keep)
	c.w.begin(keep, head.method == "HEAD", head.minor)
	c.w.awaited = c.lazy
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
	if !c.body.over() || c.in.unused() > 0 {
		c.linger()
	}
	return false
}

// cutOff has the connection end with a reset where its end would be taken for
// that of the body. Elsewhere it must not: a reset takes with it what was sent,
// and the application is to see what there was of its answer.
func (c *conn) cutOff() {
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
	if fields != 1 || head.minor == 0 || head.method != "GET" || !empty || !all(&isToken, to) || !head.header.HasToken("Connection", "upgrade") {
		return ""
	}
	if Same(to, "h2c") {
		return "" // RFC 9113 has done away with it; behind it nothing could be seen
	}
	return to
}

// interrupt ends a read of the request's body, and the connection after the
// answer: where the next request begins is then unknown.
func (c *conn) interrupt() {
	c.watch.mu.Lock() // or the deadline could hit the watch, which would take it for the application's leaving
	defer c.watch.mu.Unlock()
	if c.watch.whole {
		return
	}
	c.cut.Store(true)
	c.readUntil(time.Unix(1, 0))
}

// discard reads what nobody wanted of a request's body.
func (c *conn) discard() bool {
	if c.body.over() {
		return true
	}
	if c.lazy || c.unsure || c.cut.Load() {
		return false // it may or may not come
	}
	c.readUntil(time.Now().Add(time.Second))        // or the connection ends
	_, _ = io.CopyN(io.Discard, &c.body, maxUnread) // the outcome is asked below
	return c.body.over()
}

// ErrExpect refuses an expectation that nobody here can meet.
const ErrExpect = Fault("Expect is not 100-continue, the only expectation that is known here")

var errCut = errors.New("the rest of the body is not wanted")

// requestBody reads the request's body, with the deadline of the listener.
type requestBody struct{ c *conn }

func (b *requestBody) Read(p []byte) (int, error) {
	c := b.c
	if c.body.err != nil {
		return 0, c.body.err
	}
	if c.lazy {
		c.lazy = false
		asked, err := c.w.carryOn()
		if err != nil {
			return 0, err
		}
		c.unsure = !asked
	}
	if c.in.unused() == 0 || c.body.kind == byChunks {
		var until time.Time // none where the body need not come: interrupt ends the wait
		if !c.unsure {
			until = time.Now().Add(max(c.limits.Body, time.Duration(c.server.bodyIdle.Load())))
		}
		c.readUntil(until)
	}
	if c.cut.Load() {
		return 0, errCut
	}
	n, err := c.body.Read(p)
	if c.body.over() {
		c.watch.arm(c)
	}
	return n, err
}
