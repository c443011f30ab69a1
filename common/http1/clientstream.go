package http1

import (
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// sending is the body of a request that a goroutine sends while the answer, which may
// come first, is read. The methods accept nil, which stands for no such body.
type sending struct {
	state atomic.Int32
	err   error         // why the body could not be read; set before stateBodyFailed
	over  chan struct{} // closed when state is final
}

const (
	stateSending    int32 = iota
	stateLastPiece        // all but the last piece was sent
	stateSent             // all was sent
	stateBroken           // a write failed; the answer is read all the same
	stateBodyFailed       // the body could not be read, so no answer is to come
)

// failed reports whether the body could not be read.
func (s *sending) failed() bool { return s != nil && s.state.Load() == stateBodyFailed }

// lastPiece bounds the wait for the last write to return once the answer is complete.
const lastPiece = 50 * time.Millisecond

// complete reports whether everything was sent. It waits for the last write, because the
// server may have answered before that write returned.
func (s *sending) complete() bool {
	if s == nil {
		return true
	}
	if s.state.Load() == stateLastPiece {
		soon := time.NewTimer(lastPiece)
		defer soon.Stop()
		select {
		case <-s.over:
		case <-soon.C: // the server did not read everything
		}
	}
	return s.state.Load() == stateSent
}

// sendBeside has a goroutine send the rest of the request with send, whose errors are
// those of the body and of the connection.
func (c *clientConn) sendBeside(out *Outgoing, state int32, send func(*sending) (bodyErr, connErr error)) {
	s := &sending{over: make(chan struct{})}
	s.state.Store(state)
	c.sending = s
	go func() {
		defer closeBody(out)
		defer close(s.over)
		bodyErr, connErr := send(s)
		if bodyErr != nil {
			s.err = bodyErr
			s.state.Store(stateBodyFailed) // before abort wakes the reader of the answer
			c.abort()
			return
		}
		c.requestSent()
		if connErr != nil {
			s.state.Store(stateBroken)
			return
		}
		s.state.Store(stateSent) // last, because another attempt may use the connection now
	}()
}

// copyBody sends Outgoing.Body.
func (s *sending) copyBody(w io.Writer, out *Outgoing) (bodyErr, connErr error) {
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
			_, connErr = w.Write(p[:n])
		} else if n > 0 {
			frame = append(append(appendChunkSize(frame[:0], n), p[:n]...), "\r\n"...)
			_, connErr = w.Write(frame)
		}
		switch {
		case connErr != nil:
			return nil, connErr
		case errors.Is(err, io.EOF) && left < 0:
			s.state.Store(stateLastPiece)
			var trailer Header
			if out.Trailer != nil {
				trailer = LateFields(slices.Clone(out.Trailer()))
			}
			_, connErr = w.Write(appendLastChunk(frame[:0], trailer))
			return nil, connErr
		case err != nil && left != 0:
			return unexpected(err), nil
		}
	}
	return nil, nil
}
