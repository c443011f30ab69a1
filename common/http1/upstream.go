package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

// maxInterim is how many 1xx answers may come before the real one.
const maxInterim = 16

// upstream is one connection to a target, used by one call at a time.
type upstream struct {
	endpoint string
	nc       net.Conn
	in       buffer
	body     body
	out      []byte
	turn     turn
	ready    func() bool // of body
	asks     func()      // is asked
	since    time.Time   // unused since

	// Of the call under way:
	t       *Transport
	ctx     context.Context
	aborts  callctx.Hook // on ctx
	until   time.Time
	sent    bool       // a byte of the request may have been sent
	keep    bool       // the connection may serve another call
	sending *sending   // of a body that streams; nil: none does
	mu      sync.Mutex // guards waiting, and the deadline while it is true
	waiting bool       // for the head of the answer
}

func newUpstream(endpoint string, nc net.Conn) *upstream {
	c := &upstream{endpoint: endpoint, nc: nc, out: make([]byte, 0, 2<<10)}
	c.in = buffer{conn: nc, data: make([]byte, 4<<10)}
	c.body.b, c.body.of = &c.in, ofTarget
	c.turn.init(nc)
	c.ready, c.asks, c.aborts.Do = c.body.ready, c.asked, c.abort
	return c
}

// abort ends the call under way, from any goroutine.
func (c *upstream) abort() {
	_ = c.nc.SetDeadline(time.Unix(1, 0)) // on a closed connection nothing is left to end
}

// drop closes the connection. What still writes to it ends by that, or with the
// body it reads, whose owner waits for it (Outgoing).
func (c *upstream) drop() {
	c.aborts.Remove()
	_ = c.nc.Close() // there is nothing more to lose
}

func (c *upstream) failed(otherwise Reason, err error) *Error {
	return &Error{Reason: c.t.why(c.ctx, err, otherwise), Sent: c.sent, Err: plain(err)}
}

// errStale is a connection that was closed on the other side while it was unused,
// or spoke unasked. Nothing was sent on it, and another one serves as well.
var errStale = errors.New("the connection is stale")

// exchange sends a request, and reads the head of its answer. used says that the
// connection has served before.
func (c *upstream) exchange(out *Outgoing, used bool, interim func(int, Header)) (*Answer, error) {
	c.sent, c.sending, c.keep, c.waiting = false, nil, true, true
	if err := c.send(out, used); err != nil {
		return nil, err
	}
	head, err := c.readHead(interim)
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.t.cfg.ResponseHeader > 0 {
		c.deadline(time.Time{})
	}
	return c.answer(out, head)
}

// deadline moves that of reads, unless the call was aborted: then the one that
// ended it stands.
func (c *upstream) deadline(at time.Time) {
	_ = c.nc.SetReadDeadline(at) // a failure shows in the read
	if c.ctx.Err() != nil || c.sending.failed() {
		c.abort()
	}
}

func (c *upstream) send(out *Outgoing, used bool) error {
	c.out = appendRequest(c.out[:0], out)
	small := len(out.Kept) <= 16<<10
	if small {
		c.out = append(c.out, out.Kept...) // one system call
	}
	if c.ctx.Err() != nil {
		closeBody(out)
		return c.failed(ReasonGone, c.ctx.Err())
	}
	whole := small && out.Body == nil
	written, err := c.first(whole, used)
	if err != nil {
		return err // errStale: another connection takes the body
	}
	if whole && written == len(c.out) {
		return nil // and the answer has begun, or never will
	}
	n, err := c.nc.Write(c.out[written:])
	c.sent = c.sent || n > 0
	if err == nil && !small {
		_, err = c.nc.Write(out.Kept)
	}
	switch {
	case err != nil && c.sent:
		// A server may have answered, 413 for example, and closed; what it
		// said is worth more than that it closed.
		c.keep = false
		closeBody(out)
		c.asked()
	case err != nil:
		closeBody(out)
		return c.failed(ReasonReset, err)
	case out.Body != nil:
		c.stream(out)
	default:
		c.asked()
	}
	return nil
}

// first writes what can be written of a whole request with the wait for its
// answer, and sees to it that a connection that was used before is good.
func (c *upstream) first(whole, used bool) (written int, err error) {
	good := true
	switch {
	case whole && c.turn.direct():
		written, good = c.turn.take(c.out, used, c.asks)
		c.sent = written > 0
	case used:
		good = c.turn.alive()
	}
	if !good {
		return 0, errStale
	}
	return written, nil
}

// asked begins the time that the head of the answer may take.
func (c *upstream) asked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.t.cfg.ResponseHeader; d > 0 && c.waiting {
		c.deadline(time.Now().Add(d))
	}
}

func (c *upstream) readHead(interim func(int, Header)) (answerHead, error) {
	for range maxInterim + 1 {
		text, err := c.in.head(c.t.cfg.MaxHead)
		if err != nil {
			return answerHead{}, c.headFailed(err)
		}
		head, err := parseAnswer(text, nil)
		if err != nil {
			return answerHead{}, c.failed(ReasonGarbage, err)
		}
		if head.status/100 != 1 || head.status == 101 {
			return head, nil
		}
		if head.chunked || head.length > 0 {
			return answerHead{}, c.failed(ReasonGarbage, errors.New("an interim (1xx) answer has a body"))
		}
		if interim != nil && head.status != 100 {
			interim(head.status, endToEnd(head.header))
		}
	}
	return answerHead{}, c.failed(ReasonGarbage, errors.New("the answer never got past interim (1xx) ones"))
}

func (c *upstream) headFailed(err error) *Error {
	var f fault
	switch {
	case c.sending.failed():
		// The body could not be read. It is not the target that broke the call.
		return c.failed(ReasonBody, c.sending.err)
	case errors.Is(err, errHeadTooLarge):
		return c.failed(ReasonGarbage, errors.New("its head is larger than "+c.t.cfg.HeadSetting))
	case errors.As(err, &f):
		return c.failed(ReasonGarbage, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return c.failed(ReasonReset, errors.New("the target closed the connection before it answered"))
	}
	return c.failed(ReasonReset, err)
}

// answer is the answer that a head begins.
func (c *upstream) answer(out *Outgoing, head answerHead) (*Answer, error) {
	upgradedTo, announced := "", ""
	if head.chunked {
		announced = head.header.Announced(nil) // the same as below
	}
	if head.status == 101 {
		upgradedTo = head.header.Get("Upgrade") // before endToEnd takes it out, which it does in place
	}
	whole := &struct { // one allocation for both
		Answer
		body answerBody
	}{Answer: Answer{Status: head.status, Header: endToEnd(head.header), Length: head.length}}
	a := &whole.Answer
	if head.status == 101 {
		if out.Upgrade == "" || !Same(upgradedTo, out.Upgrade) {
			return nil, c.failed(ReasonGarbage, errors.New("the answer changes to a protocol that was not asked for"))
		}
		if !c.aborts.Remove() {
			return nil, c.failed(ReasonGone, c.ctx.Err())
		}
		_ = c.nc.SetDeadline(time.Time{}) // whoever takes it sets its own
		a.Body, a.Length, a.Upgraded = http.NoBody, 0, &tunnel{conn: c.nc, in: &c.in}
		return a, nil
	}
	c.keep = c.keep && !head.close && (head.minor == 1 || head.keep)
	switch {
	case head.status == 204 && (head.chunked || head.length > 0):
		c.keep = false // there may come what was announced
		c.body.reset(byLength, 0)
	case out.Method == "HEAD" || head.status == 204 || head.status == 304:
		c.body.reset(byLength, 0)
	case head.chunked:
		c.body.reset(byChunks, 0)
	case head.length >= 0:
		c.body.reset(byLength, head.length)
	default:
		c.keep = false
		c.body.reset(untilClose, 0)
	}
	b := &whole.body
	b.c = c
	a.Body, a.Ready = b, c.ready
	if head.chunked {
		a.Trailer = b.Trailer
	}
	if announced != "" {
		a.Header.Add("Trailer", announced)
	}
	return a, nil
}

// answerBody is the body of an answer. Once it was read whole, its connection
// serves the next call; closed earlier, the connection is closed.
type answerBody struct {
	c       *upstream // nil once closed
	trailer Header
}

func (b *answerBody) Trailer() Header {
	if b.c != nil {
		return b.c.body.trailer
	}
	return b.trailer
}

func (b *answerBody) Read(p []byte) (int, error) {
	c := b.c
	if c == nil {
		return 0, errors.New("the body is closed")
	}
	if !c.body.over() && (c.in.unused() == 0 || c.body.kind == byChunks) {
		now := time.Now()
		if c.until.Sub(now) < c.t.cfg.BodyIdle*3/4 {
			c.until = now.Add(c.t.cfg.BodyIdle)
			c.deadline(c.until)
		}
	}
	n, err := c.body.Read(p)
	if errors.Is(err, io.EOF) && c.body.kind == untilClose && unconfirmed(c.nc) {
		c.body.err = io.ErrUnexpectedEOF
		err = c.body.err
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	var f fault
	switch {
	case c.sending.failed():
		return n, c.failed(ReasonBody, c.sending.err)
	case errors.As(err, &f):
		return n, c.failed(ReasonGarbage, err)
	}
	return n, c.failed(ReasonReset, err)
}

// Close gives the connection back, or up.
func (b *answerBody) Close() error {
	c := b.c
	if c == nil {
		return nil
	}
	b.c, b.trailer = nil, c.body.trailer
	if !c.body.over() || !c.keep || c.in.unused() > 0 || !c.sending.complete() || !c.aborts.Remove() {
		c.drop()
		return nil
	}
	if !c.until.IsZero() {
		c.until = time.Time{}
		_ = c.nc.SetReadDeadline(time.Time{}) // a failure shows in the next call
	}
	c.t.pool.put(c)
	return nil
}
