package http1

import "time"

// send writes the request, or starts to.
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
		return nil // exchange has waited for the answer
	case out.Raw != nil && (written > 0 || len(rest) > smallRequest):
		// The server may answer, with 413 for example, without reading the rest.
		c.sent = true
		c.sendBeside(out, stateLastPiece, func(*sending) (error, error) {
			_, err := c.nc.Write(rest)
			return nil, err
		})
		return nil
	}
	n, err := c.nc.Write(rest)
	c.sent = c.sent || n > 0
	switch {
	case err != nil && c.sent:
		// The server may have answered before it closed the connection.
		c.keep, c.partial = false, true
		closeBody(out)
		c.requestSent()
	case err != nil:
		unsent(out)
		return c.failed(ReasonReset, err)
	case out.Body != nil:
		c.sendBeside(out, stateSending, func(s *sending) (error, error) { return s.copyBody(c.nc, out) })
	case out.Raw == nil && len(out.Kept) > smallRequest:
		// The server may answer before it reads the body, or send the body back.
		c.sendBeside(out, stateLastPiece, func(*sending) (error, error) {
			_, err := c.nc.Write(out.Kept)
			return nil, err
		})
	default:
		c.requestSent()
	}
	return nil
}

// first looks whether the connection is good. It writes a request that is whole, and
// waits for the answer, if that can be done in one call.
func (c *clientConn) first(request []byte, whole bool) (written int, err error) {
	look := c.used || c.t.cfg.RefuseUnasked && c.socket.raw != nil
	if whole && c.socket.raw != nil && c.socket.plain {
		written, err = c.socket.exchange(request, look, c.onSent)
		c.sent = written > 0
		return written, err
	}
	if look {
		err = c.look()
	}
	return 0, err
}

// requestSent is called when the request was sent. It starts the timeout for the head of
// the answer.
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
