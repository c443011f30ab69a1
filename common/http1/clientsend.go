package http1

import "time"

// send sends the request, or begins to.
func (c *clientConn) send(out *Outgoing) error {
	request, whole := out.Raw, true
	if request == nil {
		c.out = appendRequest(c.out[:0], out)
		if whole = len(out.Kept) <= smallRequest; whole {
			c.out = append(c.out, out.Kept...) // one system call
		}
		request, whole = c.out, whole && out.Body == nil
	}
	if c.ctx.Err() != nil {
		unsent(out)
		return c.failed(ReasonGone, c.ctx.Err())
	}
	written, err := c.first(request, whole)
	if err != nil {
		if c.used {
			return errStale // another connection takes the request
		}
		unsent(out)
		return c.headFailed(err)
	}
	rest := request[written:]
	switch {
	case whole && len(rest) == 0:
		return nil // and the answer has begun, or never will
	case out.Raw != nil && (written > 0 || len(rest) > smallRequest):
		// The server may answer, 413 for example, and read no further.
		c.sent = true
		c.sendBeside(out, rest)
		return nil
	}
	n, err := c.nc.Write(rest)
	c.sent = c.sent || n > 0
	if err == nil && len(out.Kept) > smallRequest {
		_, err = c.nc.Write(out.Kept)
	}
	switch {
	case err != nil && c.sent:
		// A server may have answered and closed; what it said is worth more than
		// that it closed.
		c.keep, c.partial = false, true
		closeBody(out)
		c.requestSent()
	case err != nil:
		unsent(out)
		return c.failed(ReasonReset, err)
	case out.Body != nil:
		c.stream(out)
	default:
		c.requestSent()
	}
	return nil
}

// first looks at the connection, and writes what can be written of a whole request
// with the wait for its answer.
func (c *clientConn) first(request []byte, whole bool) (written int, err error) {
	look := c.used || c.t.cfg.RefuseUnasked && c.socket.lookable()
	if whole && c.socket.direct() {
		written, err = c.socket.exchange(request, look, c.onSent)
		c.sent = written > 0
		return written, err
	}
	if look {
		err = c.look()
	}
	return 0, err
}

// requestSent says that the request was sent: from here on the head of the answer has its
// time.
func (c *clientConn) requestSent() {
	if sent := c.rawSent; sent != nil {
		c.rawSent = nil
		sent()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.t.cfg.ResponseHeader; d > 0 && c.waiting {
		_ = c.deadline(time.Now().Add(d)) // a failure shows in the read
	}
}
