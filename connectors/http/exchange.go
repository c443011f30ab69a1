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
	// bodyIdle is how long nothing of an answer's body may come, once its header is
	// there: the verdict is known, the rest only keeps the connection.
	bodyIdle = 2 * time.Second
	// keepAnswer is the largest body of an answer whose memory is kept.
	keepAnswer = 4 << 10
)

// exchange is one request and what of its answer counts. It is used again.
type exchange struct {
	out         http1.Outgoing
	headers     []connector.Header // the event's own
	status      int
	retryAfter  string
	location    string
	contentType string
	body        []byte // the first bytes of it
	end         [1]byte
}

var errPartial = errors.New("the server answered and read no further")

// try makes one attempt. Any answer is a success. again says that no server saw the
// request: it went out on a connection that had been used before and was at its end.
// Servers close idle connections without a word, or with 408 (RFC 9110, 15.5.9), and
// the request may cross the closing. To send it once more loses nothing: the event has
// the same id.
func (s *Sink) try(ctx context.Context, x *exchange, secret string, events []*cloudevent.Event, limit int) (again bool, err error) {
	// The buffer is written and sent at once, so that calls that wait for their
	// answer, of which there may be many, hold none.
	r := s.requests.Get().(*requestWriter)
	if x.out.Raw, err = r.write(s.target, &s.credential, secret, s.mode, x.headers, events); err != nil {
		r.done()
		return false, err
	}
	x.out.Sent = r.done
	return s.roundTrip(ctx, x, limit)
}

func (s *Sink) roundTrip(ctx context.Context, x *exchange, limit int) (again bool, err error) {
	x.status, x.retryAfter, x.location, x.contentType, x.body = 0, "", "", "", x.body[:0]
	a, err := s.transport.RoundTrip(ctx, s.target.address, &x.out, nil)
	if failed, ok := errors.AsType[*http1.Error](err); ok {
		if x.status = failed.Status; x.status != 0 {
			return false, nil // the verdict is known, though not where the answer ends
		}
		return failed.Unseen, err
	}
	defer func() { _ = a.Body.Close() }() // it gives the connection back, or up
	x.status = a.Status
	switch {
	case a.Status == 408 && a.Reused && a.Closes:
		return true, errors.New("the server closed an idle connection with 408")
	case a.Status/100 == 2 && a.Partial:
		return false, errPartial // it cannot have taken what it was not sent
	}
	if limit > maxAnswer || s.verdicts.of(a.Status) != delivered {
		x.retryAfter, x.location, x.contentType = a.Header.Get("Retry-After"), a.Header.Get("Location"), a.Header.Get("Content-Type")
	}
	x.read(a.Body, limit)
	return false, nil
}

// read reads a body up to limit bytes. A body that fails, or is longer, costs the
// connection alone.
func (x *exchange) read(body io.Reader, limit int) {
	for {
		if len(x.body) == cap(x.body) {
			x.body = slices.Grow(x.body, 512)
		}
		room := x.body[len(x.body):min(cap(x.body), limit)]
		if len(room) == 0 {
			_, _ = body.Read(x.end[:]) // it may end here
			return
		}
		n, err := body.Read(room)
		x.body = x.body[:len(x.body)+n]
		if err != nil {
			return
		}
	}
}

// giveBack keeps the memory of an exchange that is over.
func (s *Sink) giveBack(x *exchange) {
	if cap(x.body) > keepAnswer {
		x.body = nil
	}
	x.headers, x.out.Raw, x.out.Sent, x.out.NewConnection = nil, nil, nil, false
	s.exchanges.Put(x)
}

// takeSlot waits until fewer than maxConnections calls are under way. A connection goes
// back to the pool before the slot of its call is freed, and one is dialled only when
// none is unused, so there are never more connections than slots.
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

// transportError puts a failure without an answer in words. The destination may
// be away; or it is an interruption, when ctx was cancelled.
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
	return connector.AsUnavailable(fmt.Errorf("%s: %w", s.target.name, inWords(err)), 0)
}

// inWords says what a failure means for someone who sends to a URL.
func inWords(err error) error {
	failed, ok := errors.AsType[*http1.Error](err)
	if !ok {
		return err
	}
	if _, ok := errors.AsType[http1.Fault](failed.Err); ok {
		return fmt.Errorf("the answer is not HTTP/1.1 (%w); is the URL that of an HTTP server, and is http or https right?", failed.Err)
	}
	if failed.Reason == http1.ReasonTimeout && errors.Is(failed.Err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	}
	return failed.Err
}
