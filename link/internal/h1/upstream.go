package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/lsm/fiso/link/internal/call"
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
	since    time.Time // unused since

	// Of the call under way:
	t       *Transport
	ctx     context.Context
	unwatch func() bool
	until   time.Time
	sent    bool       // a byte of the request may have been sent
	writing chan error // of a body that streams; nil: none does
	keep    bool
}

func newUpstream(endpoint string, nc net.Conn) *upstream {
	c := &upstream{endpoint: endpoint, nc: nc, out: make([]byte, 0, 2<<10)}
	c.in = buffer{conn: nc, data: make([]byte, 4<<10)}
	c.body.b = &c.in
	return c
}

// abort ends the call under way, from any goroutine.
func (c *upstream) abort() {
	_ = c.nc.SetDeadline(time.Unix(1, 0)) // on a closed connection nothing is left to end
}

// drop closes the connection. What still writes to it ends by that, or with the
// body it reads, whose owner waits for it (call.Outgoing).
func (c *upstream) drop() {
	c.unwatch()
	_ = c.nc.Close() // there is nothing more to lose
}

func (c *upstream) failed(otherwise call.Reason, err error) *call.Error {
	return &call.Error{Reason: c.t.why(c.ctx, err, otherwise), Sent: c.sent, Err: plain(err)}
}

// exchange sends a request, and reads the head of its answer.
func (c *upstream) exchange(out *call.Outgoing, interim func(int, call.Header)) (*call.Answer, error) {
	c.sent, c.writing, c.keep = false, nil, true
	if err := c.send(out); err != nil {
		return nil, err
	}
	head, err := c.readHead(out, interim)
	if err != nil {
		return nil, err
	}
	return c.answer(out, head)
}

func (c *upstream) send(out *call.Outgoing) error {
	c.out = appendRequest(c.out[:0], out)
	small := len(out.Kept) <= 16<<10
	if small {
		c.out = append(c.out, out.Kept...) // one system call
	}
	if c.ctx.Err() != nil {
		return c.failed(call.Gone, c.ctx.Err())
	}
	n, err := c.nc.Write(c.out)
	c.sent = n > 0
	if err == nil && !small {
		_, err = c.nc.Write(out.Kept)
	}
	if err != nil {
		// A server may have answered, 413 for example, and closed; what it
		// said is worth more than that it closed.
		if c.sent && !errors.Is(c.ctx.Err(), context.Canceled) {
			c.keep = false
			return nil
		}
		return c.failed(call.Reset, err)
	}
	if out.Body != nil {
		c.stream(out)
	}
	return nil
}

// stream sends the body beside the reading of the answer, which may come first.
func (c *upstream) stream(out *call.Outgoing) {
	done := make(chan error, 1)
	c.writing = done
	nc := c.nc
	go func() {
		defer func() { _ = out.Body.Close() }() // tells its owner that we are done
		err := copyBody(nc, out)
		done <- err // first, so that whoever the deadline wakes knows why
		if err != nil {
			_ = nc.SetDeadline(time.Unix(1, 0)) // half a request is no request: nothing will come of it
		}
	}()
}

func copyBody(nc net.Conn, out *call.Outgoing) error {
	if out.Length > 0 {
		n, err := io.Copy(onlyWriter{nc}, io.LimitReader(out.Body, out.Length))
		if err == nil && n < out.Length {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return &bodyError{err}
		}
		return nil
	}
	w := chunks{w: nc}
	buf := make([]byte, 16<<10)
	for {
		n, err := out.Body.Read(buf)
		if n > 0 {
			if werr := w.write(buf[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			var trailer call.Header
			if out.Trailer != nil {
				trailer = out.Trailer()
			}
			return w.end(trailer)
		case err != nil:
			return &bodyError{err}
		}
	}
}

// bodyError is a body that the application did not send whole, or that could
// not be passed on.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "pass the body on: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// onlyWriter hides the connection's ReadFrom, which would take the application's
// connection for a file to splice although its buffer comes first.
type onlyWriter struct{ io.Writer }

func (c *upstream) readHead(out *call.Outgoing, interim func(int, call.Header)) (answerHead, error) {
	if d := c.t.cfg.ResponseHeader; d > 0 && c.writing == nil {
		_ = c.nc.SetReadDeadline(time.Now().Add(d)) // a failure shows in the read
		defer c.undo()
	}
	for range maxInterim + 1 {
		text, err := c.in.head(c.t.cfg.MaxHead)
		if err != nil {
			return answerHead{}, c.headFailed(err)
		}
		head, err := parseAnswer(text, nil)
		if err != nil {
			return answerHead{}, c.failed(call.Garbage, err)
		}
		if head.status/100 != 1 || head.status == 101 {
			return head, nil
		}
		if interim != nil && head.status != 100 {
			interim(head.status, endToEnd(head.header))
		}
	}
	return answerHead{}, c.failed(call.Garbage, errors.New("the answer never got past interim (1xx) ones"))
}

// undo takes a read deadline back, unless the call was aborted meanwhile, whose
// deadline must stand.
func (c *upstream) undo() {
	_ = c.nc.SetReadDeadline(time.Time{}) // a failure shows in the read
	if c.ctx.Err() != nil {
		c.abort()
	}
}

func (c *upstream) headFailed(err error) *call.Error {
	if c.writing != nil {
		// A body that cannot be read is the application's fault, and aborts
		// the call; it is not the target that broke it.
		select {
		case werr := <-c.writing:
			c.writing = nil
			var b *bodyError
			if errors.As(werr, &b) {
				return c.failed(call.Body, b)
			}
		default:
		}
	}
	switch {
	case errors.Is(err, errHeadTooLarge), errors.Is(err, errBare):
		return c.failed(call.Garbage, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return c.failed(call.Reset, errors.New("the target closed the connection before it answered"))
	}
	return c.failed(call.Reset, err)
}

// answer is the answer that a head begins.
func (c *upstream) answer(out *call.Outgoing, head answerHead) (*call.Answer, error) {
	a := &call.Answer{Status: head.status, Header: endToEnd(head.header), Length: head.length}
	if head.status == 101 {
		if out.Upgrade == "" || !call.Same(head.header.Get("Upgrade"), out.Upgrade) {
			return nil, c.failed(call.Garbage, errors.New("the answer changes to a protocol that was not asked for"))
		}
		c.unwatch()
		_ = c.nc.SetDeadline(time.Time{}) // whoever takes it sets its own
		a.Body, a.Length, a.Upgraded = io.NopCloser(nil), 0, &tunnel{conn: c.nc, in: &c.in}
		return a, nil
	}
	c.keep = c.keep && !head.close && (head.minor == 1 || head.keep)
	switch {
	case out.Method == "HEAD" || head.status == 204 || head.status == 304:
		c.body.reset(byLength, 0)
	case head.chunked && head.minor == 0:
		return nil, c.failed(call.Garbage, errCoding)
	case head.chunked:
		c.body.reset(byChunks, 0)
	case head.length >= 0:
		c.body.reset(byLength, head.length)
	default:
		c.keep = false
		c.body.reset(untilClose, 0)
	}
	a.Trailer = func() call.Header { return c.body.trailer }
	a.Ready = c.body.ready
	a.Body = &answerBody{c: c}
	return a, nil
}

// answerBody is the body of an answer. Once it was read whole, its connection
// serves the next call; closed earlier, the connection is closed.
type answerBody struct{ c *upstream }

func (b *answerBody) Read(p []byte) (int, error) {
	c := b.c
	if c == nil {
		return 0, errors.New("the body is closed")
	}
	if c.in.unused() == 0 && !c.body.over() {
		now := time.Now()
		if c.until.Sub(now) < c.t.cfg.BodyIdle*3/4 {
			c.until = now.Add(c.t.cfg.BodyIdle)
			_ = c.nc.SetReadDeadline(c.until) // a failure shows in the read
			if c.ctx.Err() != nil {
				c.abort()
			}
		}
	}
	n, err := c.body.Read(p)
	if err != nil && err != io.EOF {
		err = c.failed(call.Reset, err)
	}
	return n, err
}

// Close gives the connection back, or up.
func (b *answerBody) Close() error {
	c := b.c
	if c == nil {
		return nil
	}
	b.c = nil
	whole := c.body.over() && c.keep && c.in.unused() == 0
	if whole && c.writing != nil {
		select {
		case err := <-c.writing:
			c.writing = nil
			whole = err == nil
		default: // it answered without the rest of the body
			whole = false
		}
	}
	if !whole || !c.unwatch() {
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

// chunks writes a chunked body.
type chunks struct {
	w   io.Writer
	buf []byte
}

func (k *chunks) write(p []byte) error {
	k.buf = appendChunk(k.buf[:0], p)
	_, err := k.w.Write(k.buf)
	return err
}

func (k *chunks) end(trailer call.Header) error {
	k.buf = append(k.buf[:0], "0\r\n"...)
	k.buf = append(appendFields(k.buf, trailer), "\r\n"...)
	_, err := k.w.Write(k.buf)
	return err
}
