package http1

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// answerAndBody is one allocation for both.
type answerAndBody struct {
	Answer
	body answerBody
}

// answer makes the Answer for a head, and prepares to read its body.
func (c *clientConn) answer(out *Outgoing, head *answerHead) (*Answer, error) {
	if head.status == 101 {
		return c.upgraded(out, head)
	}
	c.keep = c.keep && !head.close && (head.minor == 1 || head.keep)
	switch {
	case head.status == 204 && (head.chunked || head.length > 0):
		c.keep = false // the announced body may come all the same
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
	a := &c.borrowed
	if !out.Borrow {
		a = &answerAndBody{}
	}
	a.body = answerBody{c: c}
	a.Answer = Answer{
		Status: head.status, Header: head.header, Length: head.length, Body: &a.body, Ready: c.ready, Reused: c.used, Closes: !c.keep,
		Partial: c.partial || out.Raw != nil && !c.sending.complete(),
	}
	if out.Borrow {
		return &a.Answer, nil
	}
	a.Header = append(make(Header, 0, len(head.header)+1), head.header...)
	if head.chunked {
		a.Trailer = a.body.Trailer
	}
	if head.announced != "" {
		a.Header.Add("Trailer", head.announced)
	}
	return &a.Answer, nil
}

// upgraded makes the Answer for a 101, and hands over the connection.
func (c *clientConn) upgraded(out *Outgoing, head *answerHead) (*Answer, error) {
	if out.Upgrade == "" || !Same(head.upgrade, out.Upgrade) {
		failed := c.failed(ReasonGarbage, errors.New("the answer changes to a protocol that was not asked for"))
		failed.Status = head.status
		return nil, failed
	}
	if !c.aborts.Remove() {
		return nil, c.failed(ReasonGone, c.ctx.Err())
	}
	_ = c.nc.SetDeadline(time.Time{}) // the new owner sets its own
	return &Answer{Status: head.status, Header: append(Header(nil), head.header...), Body: http.NoBody, Upgraded: &readAhead{c.nc, &c.in}}, nil
}

// answerBody is Answer.Body.
type answerBody struct {
	c       *clientConn // nil once closed
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
	if !c.body.ready() {
		if err := c.deadline(time.Now().Add(c.t.cfg.BodyIdle)); err != nil {
			return 0, c.failed(ReasonReset, err)
		}
	}
	n, err := c.body.Read(p)
	if errors.Is(err, io.EOF) && c.body.kind == untilClose && c.socket.ended && !c.socket.plain {
		// Anybody on the way can end the TCP connection, so TLS must have ended first for
		// the body to be complete (RFC 9112, section 9.8).
		c.body.err = io.ErrUnexpectedEOF
		err = c.body.err
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, c.readFailed(err)
}

// Close returns the connection to the pool if it can be used again, else closes it.
func (b *answerBody) Close() error {
	c := b.c
	if c == nil {
		return nil
	}
	b.c, b.trailer = nil, c.body.trailer
	if !c.body.ended() || !c.keep || c.in.unused() > 0 || !c.sending.complete() || !c.aborts.Remove() {
		c.drop()
		return nil
	}
	c.t.pool.put(c)
	return nil
}
