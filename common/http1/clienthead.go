package http1

import (
	"errors"
	"io"
)

// maxInterim bounds the 1xx answers before the final one.
const maxInterim = 16

// maxKnownHead bounds the head that a connection remembers, in bytes.
const maxKnownHead = 1 << 10

// readHead reads the head of the final answer.
func (c *clientConn) readHead(interim func(int, Header)) (*answerHead, error) {
	if err := c.firstBytes(); err != nil {
		return nil, c.headFailed(err)
	}
	for range maxInterim + 1 {
		text, err := c.in.head(c.t.cfg.MaxHead, c.last.text)
		if err != nil {
			return nil, c.headFailed(err)
		}
		head, err := c.parse(text)
		if err != nil {
			failed := c.failed(ReasonGarbage, err)
			if head.status/100 != 1 && (errors.Is(err, errCoding) || errors.Is(err, errTwoFrames)) {
				failed.Status = head.status // an interim one is no verdict
			}
			return nil, failed
		}
		if head.status/100 != 1 || head.status == 101 {
			return head, nil
		}
		if head.chunked || head.length > 0 {
			return nil, c.failed(ReasonGarbage, errors.New("an interim (1xx) answer has a body"))
		}
		if interim != nil && head.status != 100 {
			interim(head.status, append(Header(nil), head.header...))
		}
	}
	return nil, c.failed(ReasonGarbage, errors.New("the answer never got past interim (1xx) ones"))
}

// firstBytes waits for the first bytes of the answer.
func (c *clientConn) firstBytes() error {
	if err := c.in.fill(c.t.cfg.MaxHead); err != nil {
		return err
	}
	c.heard = true
	if c.used && c.t.cfg.RefuseUnasked && c.socket.undelivered() {
		c.heard = false // the bytes answer an earlier request
		return errUnasked
	}
	return nil
}

// parse parses a head, unless it is the same as the last one.
func (c *clientConn) parse(text string) (*answerHead, error) {
	if text == c.last.text {
		return &c.last.head, nil
	}
	head, err := parseAnswer(text)
	if err == nil && head.status/100 != 1 && len(text) <= maxKnownHead {
		c.last.text, c.last.head = text, head
		return &c.last.head, nil
	}
	return &head, err
}

func (c *clientConn) headFailed(err error) *Error {
	switch {
	case errors.Is(err, errHeadTooLarge):
		err = Fault("its head is larger than " + c.t.cfg.HeadSetting)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errClosed
	}
	return c.readFailed(err)
}

// readFailed is the error of a failed read of the answer.
func (c *clientConn) readFailed(err error) *Error {
	var f Fault
	switch {
	case c.sending.failed(): // which is no fault of the server
		return c.failed(ReasonBody, c.sending.err)
	case errors.As(err, &f):
		return c.failed(ReasonGarbage, err)
	}
	return c.failed(ReasonReset, err)
}
