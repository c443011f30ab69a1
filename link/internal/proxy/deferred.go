package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// Deliver makes a call that was accepted earlier, by the same rules as any other,
// except those about where it comes from. r.Target is its path, without /link/ and the
// target's name, and its query. The target's timeout also ends streams. The error says
// why there is no answer, or no complete one; see Refused.
func (p *Proxy) Deliver(ctx context.Context, w http1.ResponseWriter, t *target.Target, req *http1.Request) error {
	c := &Call{Request: req, Target: t, began: time.Now()}
	c.record = CallRecord{Target: t.Spec.Name, Method: methodLabel(req.Method), Mode: "delivery"}
	err := p.handleSafely(ctx, w, c, (*Proxy).deliver)
	c.record.Mode = "delivery" // also for a stream
	var r *refusal
	switch {
	case errors.As(err, &r):
		c.record.Code, c.record.Detail = r.code, r.detail
		if !w.Begun() {
			c.record.Status = r.code.Status()
		}
		if c.record.Attempts == 0 && meansNoPlace(r.code) {
			c.end()
			return err // nothing was tried: the call waits
		}
	case err != nil && !w.Begun():
		c.record.Status = statusGone
	}
	p.observe(c)
	return err
}

// meansNoPlace reports whether a code says that there is no room now.
func meansNoPlace(code call.Code) bool {
	return code == call.RateLimited || code == call.TooManyCalls || code == call.CircuitOpen
}

func (p *Proxy) deliver(ctx context.Context, w http1.ResponseWriter, c *Call) error {
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

// Refused returns the parts of an error of Deliver or Refuse. ok is false for other
// errors: ctx ended, or the ResponseWriter failed.
func Refused(err error) (code call.Code, detail string, after time.Duration, ok bool) {
	var r *refusal
	if !errors.As(err, &r) {
		return "", "", 0, false
	}
	return r.code, r.detail, r.after, true
}

// RetryAfter returns the Retry-After of an answer; 0: none.
func RetryAfter(h http1.Header) time.Duration { return retryAfter(h.Get("Retry-After"), time.Now()) }

// ReadBody reads the whole body of a call, at most most bytes. The body must arrive
// within the target's timeout. The error is made by Refuse, or is an error of the
// application's connection.
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

// Answer sends a complete answer.
func (c *Call) Answer(w http1.ResponseWriter, status int, h http1.Header, body []byte) error {
	c.record.Status = status
	if err := w.Head(status, h, int64(len(body))); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.End(nil)
}
