package http1

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// sending is the body of a request on its way, beside the reading of the
// answer, which may come first.
type sending struct {
	state atomic.Int32
	err   error         // of the body; read once failed says so
	over  chan struct{} // closed when state stays as it is
}

const (
	stateSending    int32 = iota
	stateLastPiece        // all but the last piece was sent
	stateSent             // whole
	stateBroken           // the connection takes no more; what it says is read all the same
	stateBodyFailed       // the body could not be read
)

// failed reports whether the body could not be read: half a request is no
// request, and nothing will come of it. A nil one has no body.
func (s *sending) failed() bool { return s != nil && s.state.Load() == stateBodyFailed }

// complete reports whether everything was sent. A target may have answered
// before the goroutine that sends gets to say that it is done.
func (s *sending) complete() bool {
	if s == nil {
		return true
	}
	if s.state.Load() == stateLastPiece {
		soon := time.NewTimer(lastPiece)
		defer soon.Stop()
		select {
		case <-s.over:
		case <-soon.C: // it answers without having read everything
		}
	}
	return s.state.Load() == stateSent
}

// lastPiece is how long the last write may go on once the answer is whole.
const lastPiece = 50 * time.Millisecond

// stream begins to send a body.
func (c *clientConn) stream(out *Outgoing) {
	s := &sending{over: make(chan struct{})}
	c.sending = s
	go func() {
		defer closeBody(out) // tells its owner that we are done
		defer close(s.over)
		rerr, werr := s.copyBody(c.nc, out)
		switch {
		case rerr != nil:
			s.err = rerr
			s.state.Store(stateBodyFailed) // first, so that whoever the deadline wakes knows why
			c.abort()
		case werr != nil:
			s.state.Store(stateBroken)
			c.requestSent()
		default:
			c.requestSent()
			s.state.Store(stateSent) // last: from then on the connection may be another call's
		}
	}()
}

// sendBeside sends the rest of Outgoing.Raw.
func (c *clientConn) sendBeside(out *Outgoing, rest []byte) {
	s := &sending{over: make(chan struct{})}
	s.state.Store(stateLastPiece)
	c.sending = s
	go func() {
		defer close(s.over)
		_, err := c.nc.Write(rest)
		c.requestSent()
		if err != nil {
			s.state.Store(stateBroken)
			return
		}
		s.state.Store(stateSent)
	}()
}

// copyBody sends a body. It tells what failed: the body, or the connection.
func (s *sending) copyBody(w io.Writer, out *Outgoing) (rerr, werr error) {
	left := out.Length
	var frame []byte
	buf := make([]byte, 16<<10)
	for left != 0 {
		p := buf
		if left > 0 {
			p = buf[:min(left, int64(len(buf)))]
		}
		n, err := out.Body.Read(p)
		if n > 0 && left > 0 {
			if left -= int64(n); left == 0 {
				s.state.Store(stateLastPiece)
			}
			_, werr = w.Write(p[:n])
		} else if n > 0 {
			frame = appendChunk(frame[:0], p[:n])
			_, werr = w.Write(frame)
		}
		switch {
		case werr != nil:
			return nil, werr
		case errors.Is(err, io.EOF) && left < 0:
			s.state.Store(stateLastPiece)
			return nil, endChunks(w, frame[:0], out)
		case err != nil && left != 0:
			return unexpected(err), nil
		}
	}
	return nil, nil
}

func endChunks(w io.Writer, b []byte, out *Outgoing) error {
	b = append(b, "0\r\n"...)
	if out.Trailer != nil {
		b = appendFields(b, LateFields(slices.Clone(out.Trailer())))
	}
	_, err := w.Write(append(b, "\r\n"...))
	return err
}

func appendChunk(b, p []byte) []byte {
	b = append(strconv.AppendInt(b, int64(len(p)), 16), "\r\n"...)
	return append(append(b, p...), "\r\n"...)
}
