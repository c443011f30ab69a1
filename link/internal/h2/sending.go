package h2

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/lsm/fiso/common/http1"
)

// requestBodyReader is the body of a request that streams to a target. The library lets
// a stream go only after its read of the body has returned; Close ends that read at
// once, even if the application sends nothing.
//
// The bytes pass through a pipe, so that the end of a body that has already been read
// is sent with its last bytes, in one frame.
type requestBodyReader struct {
	pipe
	failed  atomic.Pointer[error] // the error of the application's body; nil: none
	trailer http.Header           // from which the library takes the trailer; nil: none
	late    http1.Header          // the trailer fields; guarded by mu
}

// Read is called by the library, which uses the trailer once it has seen the end of the
// body.
func (s *requestBodyReader) Read(p []byte) (int, error) { return s.read(p, s.deliver) }

func (s *requestBodyReader) deliver() {
	toHTTP(s.trailer, s.late)
	s.late = nil
}

// Close ends a waiting read and all later ones.
func (s *requestBodyReader) Close() error {
	s.stop()
	return nil
}

// send starts to read a body. The goroutine ends with the body, which it closes, or
// when the owner of the body interrupts it.
func send(out *http1.Outgoing, trailer http.Header) *requestBodyReader {
	s := &requestBodyReader{trailer: trailer}
	s.cond.L = &s.mu
	go func() {
		defer func() { _ = out.Body.Close() }() // tells its owner that it is done with
		err := s.copyFrom(out.Body, out.Length)
		var late http1.Header
		switch {
		case errors.Is(err, errUnwanted):
		case !errors.Is(err, io.EOF):
			s.failed.Store(&err)
		case trailer != nil:
			late = http1.LateFields(append(http1.Header(nil), out.Trailer()...))
		}
		s.end(err, func() { s.late = late })
	}()
	return s
}
