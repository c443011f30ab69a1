package h2

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/h1"
)

// sending is the body of a request on its way. net/http waits for a read of a
// body before it lets a stream go; this one's end is quick, however long the
// application takes for what it has yet to send.
//
// What was read waits in a bounded piece, so that the end of a body that is there
// already goes out with the last of its bytes, in one frame.
type sending struct {
	failed  atomic.Pointer[error] // of the application's body
	trailer http.Header           // where net/http looks for the trailer; nil: nowhere

	mu    sync.Mutex
	turn  sync.Cond // bytes or an end came, room was made, or shut; L is &mu
	piece *[]byte   // nil: given back
	r, w  int       // piece[r:w] is to be sent
	err   error     // behind them; io.EOF: the body came whole
	late  call.Header
	shut  bool // nobody reads any more
	ended bool // nobody writes any more
}

// bodyPieces are what bodies wait in. A stream has one for as long as it lasts.
var bodyPieces = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// Read is net/http's, and so is the trailer from the end of the body on.
func (s *sending) Read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.r == s.w && s.err == nil && !s.shut {
		s.turn.Wait()
	}
	if s.shut {
		return 0, io.ErrClosedPipe
	}
	if s.r < s.w {
		n = copy(p, (*s.piece)[s.r:s.w])
		s.r += n
		s.turn.Signal()
	}
	if s.r < s.w || s.err == nil {
		return n, nil
	}
	toHTTP(s.trailer, s.late)
	s.late = nil
	s.release()
	return n, s.err
}

// Close ends a read that waits, and those that follow.
func (s *sending) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	s.turn.Broadcast()
	s.release()
	return nil
}

// release gives the piece back once nobody needs it. Called with the lock held.
func (s *sending) release() {
	if s.piece != nil && s.ended && (s.shut || s.r == s.w) {
		bodyPieces.Put(s.piece)
		s.piece = nil
	}
}

// send begins to read a body. The goroutine ends with the body, which it closes,
// or when its owner interrupts it.
func send(out *call.Outgoing, trailer http.Header) *sending {
	s := &sending{trailer: trailer}
	s.piece, _ = bodyPieces.Get().(*[]byte)
	s.turn.L = &s.mu
	go func() {
		defer func() { _ = out.Body.Close() }() // tells its owner that we are done
		err := s.copyBody(out)
		var late call.Header
		switch {
		case errors.Is(err, errUnwanted):
		case !errors.Is(err, io.EOF):
			s.failed.Store(&err)
		case trailer != nil:
			late = h1.LateFields(append(call.Header(nil), out.Trailer()...))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err, s.late, s.ended = err, late, true
		s.turn.Broadcast()
		s.release()
	}()
	return s
}

// errUnwanted ends a body of which the target wants no more: what ended the stream
// says why.
var errUnwanted = errors.New("the rest of the body is not wanted")

// copyBody reads the body; io.EOF when it came whole.
func (s *sending) copyBody(out *call.Outgoing) error {
	for left := out.Length; ; {
		room := s.room()
		if room == nil {
			return errUnwanted
		}
		n, err := out.Body.Read(room)
		left -= int64(n)
		s.mu.Lock()
		s.w += n
		s.turn.Signal()
		s.mu.Unlock()
		switch {
		case errors.Is(err, io.EOF) && out.Length >= 0 && left != 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// room waits for a place to read into; nil: nobody wants more.
func (s *sending) room() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	piece := *s.piece
	for !s.shut {
		if s.r > len(piece)/2 || s.r == s.w {
			s.r, s.w = 0, copy(piece, piece[s.r:s.w])
		}
		if s.w < len(piece) {
			return piece[s.w:]
		}
		s.turn.Wait()
	}
	return nil
}
