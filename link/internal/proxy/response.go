package proxy

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// Buffers for bodies of answers: small ones for small bodies and for streams, which
// hold theirs for long; large ones save system calls on large bodies.
var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}
)

// streamResponse streams an answer to the application. What has arrived is forwarded
// before waiting for more.
func (c *Call) streamResponse(ctx context.Context, w http1.ResponseWriter, a *http1.Answer, m *attempts) error {
	limit := &m.limit
	defer func() { _ = a.Body.Close() }() // if the body was read, the connection is reused, else closed
	c.record.Status = a.Status
	a.Header.Del(call.ErrorField) // only fiso-link sets it
	if a.Upgraded != nil {
		return c.tunnel(ctx, w, a, limit)
	}
	if isStream(a) {
		c.record.Mode = "stream"
		limit.becomeStream(c.Target.Retired, c.Target.Spec.Timeouts.Idle)
	}
	if err := w.Head(a.Status, a.Header, a.Length); err != nil {
		return err
	}
	limit.progressed(nil) // the head
	if err := c.copyBody(w, a, m); err != nil {
		return err
	}
	var trailer http1.Header
	if a.Trailer != nil {
		trailer = a.Trailer()
		trailer.Del(call.ErrorField)
	}
	c.responseBroke = a.Header.IsGRPC() && statusOf(trailer.Get("grpc-status")) >= 500
	return w.End(trailer)
}

// isStream reports whether an answer may last without limit.
func isStream(a *http1.Answer) bool {
	return a.Header.IsEventStream() || responseBegins(a.Header.Get("Content-Type"), "application/grpc")
}

func responseBegins(s, with string) bool {
	return len(s) >= len(with) && http1.Same(s[:len(with)], with)
}

func (c *Call) copyBody(w http1.ResponseWriter, a *http1.Answer, m *attempts) error {
	limit := &m.limit
	buffers := &smallBuffers
	if a.Length > 16<<10 {
		buffers = &largeBuffers
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for first := true; ; {
		if a.Ready == nil || !a.Ready() {
			limit.beginReadWait()
			if err := w.Flush(); err != nil {
				return c.callerDidNotRead(limit, err)
			}
			limit.progressed(&limit.readWait)
		}
		n, err := a.Body.Read(*buf)
		limit.progressed(nil)
		if n > 0 {
			if first && a.Header.IsGRPC() {
				m.reportEarly()
			}
			first = false
			limit.beginReadWait()
			if _, werr := w.Write((*buf)[:n]); werr != nil {
				return c.callerDidNotRead(limit, werr)
			}
			limit.progressed(&limit.readWait)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return c.breakResponse(limit, a, err)
		}
	}
}

// callerDidNotRead returns the error of an answer that the application did not read: it
// left, or was too slow.
func (c *Call) callerDidNotRead(limit *callLimit, err error) error {
	if !limitEnded(limit) {
		return err
	}
	c.callerCut = true
	return errCallerSlow
}

// errCallerSlow is the error of a call whose application used up the call's time. The
// head was sent, so its connection is cut, or its stream reset.
var errCallerSlow = &refusal{code: call.RequestTimeout, detail: "the application did not take the answer in time"}

// breakResponse returns the error of an incomplete answer. The application's connection
// is cut, or its stream reset, which is the only way to report it (RFC 9112, section
// 8). It says nothing about the target if a stream paused too long, if the application
// was slow, or if the answer has no length: that may be an unrecognised stream, which
// the application reads for longer than timeout.
func (c *Call) breakResponse(limit *callLimit, a *http1.Answer, err error) error {
	switch call.ReasonOf(err) {
	case http1.ReasonGone, http1.ReasonBody:
		return err
	case http1.ReasonTimeout:
		stream := c.record.Mode == "stream"
		if !stream && limit.callerSlowSince(waitMark{}) {
			c.callerCut = true
			return errCallerSlow
		}
		c.callerCut = !stream && a.Length < 0
		c.responseBroke = !stream && !c.callerCut
		return &refusal{code: call.UpstreamTimeout, detail: "the answer did not end in time"}
	}
	c.callerCut = limit.callerPausedLong()
	c.responseBroke = !c.callerCut
	return &refusal{code: call.UpstreamReset, detail: "the answer broke off"}
}

// tunnel copies a WebSocket in both directions until one side ends it.
func (c *Call) tunnel(ctx context.Context, w http1.ResponseWriter, a *http1.Answer, limit *callLimit) error {
	c.record.Mode = "stream"
	limit.becomeStream(c.Target.Retired, c.Target.Spec.Timeouts.Idle)
	defer func() { _ = a.Upgraded.Close() }() // ends the target's side
	app, err := w.Upgrade(upgradeAnswer(a.Header, "websocket"))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _, _ = app.Close(), a.Upgraded.Close() })() // ends both directions
	near, far := &side{ReadWriteCloser: app}, &side{ReadWriteCloser: a.Upgraded}
	var both sync.WaitGroup
	both.Go(func() { copyOneWay(near, far, limit) })
	both.Go(func() { copyOneWay(far, near, limit) })
	both.Wait()
	near.stop()
	far.stop()
	_ = app.Close() // the defer above closes the target's side
	return nil
}

// tunnelLinger is how long one connection of a tunnel stays open when the other one is
// over in both directions. Its peer learns of the end by closeWrite and closes.
const tunnelLinger = 30 * time.Second

// side is one connection of a tunnel.
type side struct {
	io.ReadWriteCloser
	over  atomic.Int32 // directions that have ended
	timer *time.Timer  // closes the other side; set when the second direction ends
}

// ended notes that one direction has ended. With the second, other is closed after
// a while.
func (s *side) ended(other *side) {
	if s.over.Add(1) == 2 {
		s.timer = time.AfterFunc(tunnelLinger, func() { _ = other.Close() }) // it may be closed by then
	}
}

// stop ends the timer, once both directions have ended.
func (s *side) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// copyOneWay copies one way until it ends, and then ends the same direction of the
// other connection. The other direction goes on: closing a connection on which
// bytes still arrive resets it, and the reset destroys what was sent and not yet
// read. What can no longer be delivered is read and dropped for the same reason.
func copyOneWay(to, from *side, limit *callLimit) {
	buf := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(buf)
	delivers := true
	for {
		n, err := from.Read(*buf)
		if n > 0 && delivers {
			limit.progressed(nil)
			if _, werr := to.Write((*buf)[:n]); werr != nil {
				delivers = false
				to.ended(from)
			}
			limit.progressed(nil)
		}
		if err != nil {
			break // the protocol inside reports its own errors
		}
	}
	if delivers {
		closeWrite(to.ReadWriteCloser)
		to.ended(from)
	}
	from.ended(to)
}

// closeWrite ends the write direction of a connection, or closes it if it has no
// half-close.
func closeWrite(c io.Closer) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		_ = c.Close() // it may be closed by now
	}
}
