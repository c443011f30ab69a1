package h2

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/h1"
)

// sending is the body of a request on its way. net/http waits for a read of a
// body before it lets a stream go; this one's end is quick, however long the
// application takes for what it has yet to send.
type sending struct {
	*io.PipeReader
	failed  atomic.Pointer[error] // of the application's body
	late    call.Header           // its trailer; read after the end
	trailer http.Header           // where net/http looks for it; nil: nowhere
}

// Read is net/http's, and so is the trailer from the end of the body on.
func (s *sending) Read(p []byte) (int, error) {
	n, err := s.PipeReader.Read(p)
	if errors.Is(err, io.EOF) {
		for _, f := range s.late {
			s.trailer.Add(f.Name, f.Value)
		}
		s.late = nil
	}
	return n, err
}

// send begins to read a body. The goroutine ends with the body, which it closes,
// or when its owner interrupts it.
func send(out *call.Outgoing, trailer http.Header) *sending {
	r, w := io.Pipe()
	s := &sending{PipeReader: r, trailer: trailer}
	go func() {
		defer func() { _ = out.Body.Close() }() // tells its owner that we are done
		if err := s.copyBody(w, out); err != nil {
			s.failed.Store(&err)
			_ = w.CloseWithError(err) // it always works
			return
		}
		if trailer != nil {
			s.late = h1.LateFields(append(call.Header(nil), out.Trailer()...))
		}
		_ = w.Close() // the same
	}()
	return s
}

// copyBody is nil when the body came whole, or the target wants no more of it.
func (s *sending) copyBody(w *io.PipeWriter, out *call.Outgoing) error {
	buf := make([]byte, 16<<10)
	for left := out.Length; ; {
		n, err := out.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return nil //nolint:nilerr // what ended the stream says why
			}
			left -= int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) && out.Length >= 0 && left != 0:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
