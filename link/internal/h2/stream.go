package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

// stream guards the parts of net/http that must not be used after the handler has
// returned, and limits how long reads and writes may wait.
type stream struct {
	http *http.ResponseController

	mu        sync.Mutex
	over      bool // the handler has returned
	cut       bool // reads are interrupted
	read      ioTimeout
	write     ioTimeout
	bound     bool // the context of a call ends writes, instead of write.timeout
	callEnded bool // that context has ended
	callEnd   callctx.Hook
}

// ioTimeout limits reads or writes, one of which may be under way. A deadline of
// net/http does not fit: when it passes it ends the stream, even if no read or write is
// under way, and an answer may pause for longer than a write may take.
type ioTimeout struct {
	timeout time.Duration // 0: only the call limits it
	since   time.Time     // start of the read or write under way; zero: none
	timer   *time.Timer
	armed   bool // the timer runs; it is not stopped between reads or writes
}

func newStream(rw http.ResponseWriter, write time.Duration) *stream {
	s := &stream{http: http.NewResponseController(rw)}
	s.write.timeout = write
	return s
}

// pastDeadline is a deadline that ends waiting reads or writes.
var pastDeadline = time.Unix(1, 0)

var errCut = errors.New("the rest of the body is not wanted")

// interrupt ends a waiting read and all later ones.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut = true; !s.over {
		_ = s.http.SetReadDeadline(pastDeadline) // a failure means that the stream is over
	}
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, w := range [...]*ioTimeout{&s.read, &s.write} {
		if w.timer != nil {
			w.timer.Stop()
		}
	}
}

// begin starts the timeout of a read or a write; done says that it has ended.
func (s *stream) begin(w *ioTimeout, expire func(time.Time) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.since = time.Now()
	if w == &s.write && s.bound {
		if s.callEnded { // an application that still reads gets the held bytes
			_ = expire(time.Now().Add(flushTimeout)) // a failure shows in the write
		}
		return
	}
	if w.armed || w.timeout == 0 {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.timeout, func() { s.expireIfDue(w, expire) })
	} else {
		w.timer.Reset(w.timeout)
	}
}

func (s *stream) done(w *ioTimeout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.since = time.Time{}
}

// expireIfDue ends a read or write that has waited for too long. If none is under way,
// the next one sets the timer again.
func (s *stream) expireIfDue(w *ioTimeout, expire func(time.Time) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.armed = false
	if s.over || w.since.IsZero() {
		return
	}
	if left := w.timeout - time.Since(w.since); left > 0 {
		w.armed = true
		w.timer.Reset(left)
		return
	}
	_ = expire(pastDeadline) // a failure shows in the read or write
}

// boundBy makes ctx end waiting writes, instead of their timeout.
func (s *stream) boundBy(ctx context.Context) {
	s.setBound(true)
	s.callEnd.Do = s.cutWrite
	s.callEnd.On(ctx)
}

func (s *stream) unbound() {
	s.callEnd.Remove()
	s.setBound(false)
}

func (s *stream) setBound(bound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound, s.callEnded = bound, false
}

// cutWrite ends a waiting write. If none waits the stream stays open, for an answer
// that says what has ended.
func (s *stream) cutWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bound {
		return
	}
	if s.callEnded = true; !s.over && !s.write.since.IsZero() {
		_ = s.http.SetWriteDeadline(pastDeadline) // a failure shows in the write
	}
}

// writing calls do, a write that may wait for the application to open a window.
func (s *stream) writing(do func() error) error {
	s.begin(&s.write, s.http.SetWriteDeadline)
	defer s.done(&s.write)
	return do()
}

// boundFinalWrite limits what net/http writes after the handler has returned: the
// answer does not pause from here on.
func (s *stream) boundFinalWrite() error {
	return s.http.SetWriteDeadline(time.Now().Add(s.write.timeout))
}

// requestBody reads the body of a request, with the timeout of the listener.
type requestBody struct {
	io.Reader
	stream *stream
}

func (b *requestBody) Read(p []byte) (int, error) {
	s := b.stream
	s.mu.Lock()
	cut := s.cut || s.over
	s.mu.Unlock()
	if cut {
		return 0, errCut
	}
	s.begin(&s.read, s.http.SetReadDeadline)
	defer s.done(&s.read)
	return b.Reader.Read(p)
}
