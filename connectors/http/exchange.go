package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
)

const (
	// maxAnswerHeader bounds the header of an answer, in bytes.
	maxAnswerHeader = 16 << 10
	// bodyIdle is how long an answer's body may pause once the header has arrived. The
	// verdict is known by then; the rest is read only to keep the connection.
	bodyIdle = 2 * time.Second
	// keepAnswer is the largest answer buffer, in bytes, that is kept for reuse.
	keepAnswer = 4 << 10
)

// exchange is one request and the parts of its answer that matter. It is reused.
type exchange struct {
	out         http1.Outgoing
	headers     []connector.Header // the event's own
	status      int
	retryAfter  string
	location    string
	contentType string
	body        []byte // at most the limit of read
	scratch     [1]byte
}

var errPartial = errors.New("the server answered before it read the whole request")

// try makes one attempt. Any answer is a success. again reports that no server saw the
// request: it was sent on a reused connection that the server had closed. Servers close
// idle connections without notice, or with 408 (RFC 9110, section 15.5.9), and a
// request may cross that. Sending it again is safe: the event has the same id.
func (s *Sink) try(ctx context.Context, x *exchange, secret string, events []*cloudevent.Event, limit int) (again bool, err error) {
	// The buffer is released once it is sent, so that calls waiting for their answer
	// hold none.
	r := s.requests.Get().(*requestWriter)
	if x.out.Raw, err = r.write(s.target, &s.credential, secret, s.mode, x.headers, events); err != nil {
		r.release()
		return false, err
	}
	x.out.Sent = r.release
	return s.roundTrip(ctx, x, limit)
}

func (s *Sink) roundTrip(ctx context.Context, x *exchange, limit int) (again bool, err error) {
	x.status, x.retryAfter, x.location, x.contentType, x.body = 0, "", "", "", x.body[:0]
	a, err := s.transport.RoundTrip(ctx, s.target.address, &x.out, nil)
	if failed, ok := errors.AsType[*http1.Error](err); ok {
		if x.status = failed.Status; x.status != 0 {
			return false, nil // the verdict is known, though the end of the answer is not
		}
		return failed.Unseen, err
	}
	defer func() { _ = a.Body.Close() }() // it returns the connection to the pool or closes it
	x.status = a.Status
	switch {
	case a.Status == 408 && a.Reused && a.Closes:
		return true, errors.New("the server closed an idle connection with 408")
	case a.Status/100 == 2 && a.Partial:
		return false, errPartial // the server accepted an event that it has not read
	}
	if limit > maxAnswer || s.verdicts.of(a.Status) != delivered {
		x.retryAfter, x.location, x.contentType = a.Header.Get("Retry-After"), a.Header.Get("Location"), a.Header.Get("Content-Type")
	}
	x.read(a.Body, limit)
	return false, nil
}

// read reads a body up to limit bytes. A body that fails or is longer costs only the
// connection.
func (x *exchange) read(body io.Reader, limit int) {
	for {
		if len(x.body) == cap(x.body) {
			x.body = slices.Grow(x.body, 512)
		}
		room := x.body[len(x.body):min(cap(x.body), limit)]
		if len(room) == 0 {
			_, _ = body.Read(x.scratch[:]) // the body may end here, so that the connection can be reused
			return
		}
		n, err := body.Read(room)
		x.body = x.body[:len(x.body)+n]
		if err != nil {
			return
		}
	}
}

// recycle keeps the memory of a finished exchange for reuse.
func (s *Sink) recycle(x *exchange) {
	if cap(x.body) > keepAnswer {
		x.body = nil
	}
	x.headers, x.out.Raw, x.out.Sent, x.out.NewConnection = nil, nil, nil, false
	s.exchanges.Put(x)
}

// takeSlot waits until fewer than maxConnections calls are under way. A connection
// returns to the pool before the slot of its call is freed, and a new one is dialled
// only if none is unused, so there are never more connections than slots.
func (s *Sink) takeSlot(ctx context.Context, deadline time.Time) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("all %d connections are busy (maxConnections): %w", cap(s.slots), os.ErrDeadlineExceeded)
	}
}

// transportError describes a failure without an answer. It is unavailable, because the
// destination may be down, unless ctx was cancelled or the sink was closed.
func (s *Sink) transportError(ctx context.Context, err error) error {
	ctxErr := ctx.Err()
	if d, ok := ctx.Deadline(); ok && ctxErr == nil && !time.Now().Before(d) {
		ctxErr = context.DeadlineExceeded // its timer is about to fire
	}
	if ctxErr != nil {
		return fmt.Errorf("%s: %w", s.target.name, ctxErr)
	}
	if s.contexts.isClosed() {
		return fmt.Errorf("%s: %w", s.target.name, connector.ErrClosed)
	}
	return connector.AsUnavailable(fmt.Errorf("%s: %w", s.target.name, explain(err)), 0)
}

// explain returns the text of a transport failure for somebody who configured a URL.
func explain(err error) error {
	failed, ok := errors.AsType[*http1.Error](err)
	if !ok {
		return err
	}
	if _, ok := errors.AsType[http1.Fault](failed.Err); ok {
		return fmt.Errorf("the answer is not HTTP/1.1 (%w); check that the URL is that of an HTTP server, and whether it needs http or https", failed.Err)
	}
	if failed.Reason == http1.ReasonTimeout && errors.Is(failed.Err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	}
	return failed.Err
}
