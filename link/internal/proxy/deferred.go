package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// Deliver makes a call that was accepted earlier, with everything that applies
// to any other but where it comes from. r.Target is its path, without /link/ and
// the target's name, and its query. A stream, too, ends with the target's
// timeout. The error says why there is no answer, or no whole one; see Refused.
func (p *Proxy) Deliver(ctx context.Context, w call.ResponseWriter, t *target.Target, req *call.Request) error {
	c := &Call{Request: req, Target: t, began: time.Now()}
	c.record = CallRecord{Target: t.Spec.Name, Method: methodLabel(req.Method), Mode: "delivery"}
	err := p.handleSafely(ctx, w, c, (*Proxy).deliver)
	c.record.Mode = "delivery" // that it was a stream changes nothing here
	var r *refusal
	switch {
	case errors.As(err, &r):
		c.record.Code, c.record.Detail = r.code, r.detail
		if !w.Begun() {
			c.record.Status = r.code.Status()
		}
		if c.record.Attempts == 0 && meansNoPlace(r.code) {
			c.end()
			return err // nothing was tried: it only waits for its turn
		}
	case err != nil && !w.Begun():
		c.record.Status = statusGone
	}
	p.observe(c)
	return err
}

// meansNoPlace reports whether a code says that there is no place now.
func meansNoPlace(code call.Code) bool {
	return code == call.RateLimited || code == call.TooManyCalls || code == call.CircuitOpen
}

func (p *Proxy) deliver(ctx context.Context, w call.ResponseWriter, c *Call) error {
	var path string
	path, c.Query, c.HasQuery = strings.Cut(c.Request.Target, "?")
	if err := c.admit(path); err != nil {
		return err
	}
	place, err := acquire(c.Target, false)
	if err != nil {
		return err
	}
	defer place.Release()
	ctx = p.begin(ctx, c)
	ctx, cancel := context.WithTimeoutCause(ctx, c.Target.TotalTimeout(), context.DeadlineExceeded)
	defer cancel()
	return p.perform(ctx, w, c)
}

// Refused takes an error of Deliver, or of Refuse, apart. ok is false for one
// that is no refusal: ctx ended, or the ResponseWriter failed.
func Refused(err error) (code call.Code, detail string, after time.Duration, ok bool) {
	var r *refusal
	if !errors.As(err, &r) {
		return "", "", 0, false
	}
	return r.code, r.detail, r.after, true
}

// RetryAfter is the time after which an answer asks to be called again; 0: it
// does not.
func RetryAfter(h call.Header) time.Duration { return retryAfter(h.Get("Retry-After"), time.Now()) }

// ReadBody is the whole body of a call, of at most so many bytes, for those who
// cannot stream it on. It has to come within the target's timeout. Its error is made by Refuse, or one of the application's
// connection.
func (c *Call) ReadBody(ctx context.Context, most int64) ([]byte, error) {
	if c.Length > most {
		return nil, tooLarge(most)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Target.TotalTimeout(), context.DeadlineExceeded)
	defer cancel()
	var i interruption
	i.begin(ctx, c.Request)
	defer i.end()
	body, err := io.ReadAll(io.LimitReader(c.Body, most+1))
	switch {
	case err != nil:
		return nil, errBody(ctx, err)
	case int64(len(body)) > most:
		return nil, tooLarge(most)
	}
	return body, nil
}

func tooLarge(most int64) error {
	return &refusal{code: call.BodyTooLarge, detail: fmt.Sprintf("the body is larger than maxBodyBytes, %d: send less, or raise it together with the topic's max.message.bytes", most)}
}

// Answer answers a call in one piece.
func (c *Call) Answer(w call.ResponseWriter, status int, h call.Header, body []byte) error {
	c.record.Status = status
	if err := w.Head(status, h, int64(len(body))); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.End(nil)
}
