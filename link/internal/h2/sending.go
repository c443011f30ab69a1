package h2

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// requestBodyReader is the body of a request on its way. The library waits for a read of a
// body before it lets a stream go; this one's end is quick, however long the
// application takes for what it has yet to send.
//
// What was read waits in a pipe, so that the end of a body that is there already
// goes out with the last of its bytes, in one frame.
type requestBodyReader struct {
	pipe
	failed  atomic.Pointer[error] // of the application's body
	trailer http.Header           // where the library looks for the trailer; nil: nowhere
	late    call.Header           // for it; guarded by mu
}

// Read is the library's, and so is the trailer from the end of the body on.
func (s *requestBodyReader) Read(p []byte) (int, error) { return s.read(p, s.deliver) }

func (s *requestBodyReader) deliver() {
	toHTTP(s.trailer, s.late)
	s.late = nil
}

// Close ends a read that waits, and those that follow.
func (s *requestBodyReader) Close() error {
	s.stop()
	return nil
}

// send begins to read a body. The goroutine ends with the body, which it closes,
// or when its owner interrupts it.
func send(out *call.Outgoing, trailer http.Header) *requestBodyReader {
	s := &requestBodyReader{trailer: trailer}
	s.turn.L = &s.mu
	go func() {
		defer func() { _ = out.Body.Close() }() // tells its owner that we are done
		err := s.copyFrom(out.Body, out.Length)
		var late call.Header
		switch {
		case errors.Is(err, errUnwanted):
		case !errors.Is(err, io.EOF):
			s.failed.Store(&err)
		case trailer != nil:
			late = http1.LateFields(append(call.Header(nil), out.Trailer()...))
		}
		s.end(err, func() { s.late = late })
	}()
	return s
}
