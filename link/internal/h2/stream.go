package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lsm/fiso/link/internal/call"
)

// stream guards what net/http lets nobody touch once the handler has returned,
// and limits how long its reads and writes may wait.
type stream struct {
	http *http.ResponseController

	mu    sync.Mutex
	over  bool
	cut   bool
	read  ioTimeout
	write ioTimeout
	bound bool // a call's context ends writes, and not write.most
	late  bool // it has ended
	limit call.Hook
}

// ioTimeout limits reads, or writes, of which one may be under way. A deadline of
// net/http's would not do: it ends the stream when it passes, also while nobody
// reads or writes, and an answer may rest for longer than a write may take.
type ioTimeout struct {
	timeout time.Duration // 0: the call's own limits are enough
	since   time.Time     // zero: none is under way
	timer   *time.Timer
	armed   bool // the timer runs; it goes on for what follows
}

func newStream(rw http.ResponseWriter, write time.Duration) *stream {
	s := &stream{http: http.NewResponseController(rw)}
	s.write.timeout = write
	return s
}

// pastDeadline is a deadline that ends what waits.
var pastDeadline = time.Unix(1, 0)

var errCut = errors.New("the rest of the body is not wanted")

// interrupt ends a read that waits, and those that follow.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut = true; !s.over {
		_ = s.http.SetReadDeadline(pastDeadline) // a stream that is over needs no deadline
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

// begin gives a read or a write its time, and done says that it has ended.
func (s *stream) begin(w *ioTimeout, expire func(time.Time) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.since = time.Now()
	if w == &s.write && s.bound {
		if s.late { // an application that still reads gets what was held back
			_ = expire(time.Now().Add(flushTimeout)) // the write shows it
		}
		return
	}
	if w.armed || w.timeout == 0 {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.timeout, func() { s.due(w, expire) })
	} else {
		w.timer.Reset(w.timeout)
	}
}

func (s *stream) done(w *ioTimeout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.since = time.Time{}
}

// due ends what has waited for too long. A timer that finds nothing under way is
// set again by what follows.
func (s *stream) due(w *ioTimeout, expire func(time.Time) error) {
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
	_ = expire(pastDeadline) // the read or the write shows it
}

// boundBy has ctx end writes that wait, in place of their own limit.
func (s *stream) boundBy(ctx context.Context) {
	s.turn(true)
	s.limit.Do = s.cutWrite
	s.limit.On(ctx)
}

func (s *stream) unbound() {
	s.limit.Remove()
	s.turn(false)
}

func (s *stream) turn(bound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound, s.late = bound, false
}

// cutWrite ends a write that waits. Where none does the stream stays, for an
// answer that says what has ended.
func (s *stream) cutWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bound {
		return
	}
	if s.late = true; !s.over && !s.write.since.IsZero() {
		_ = s.http.SetWriteDeadline(pastDeadline) // the write shows it
	}
}

// writing does what may wait for the application to open a window.
func (s *stream) writing(do func() error) error {
	s.begin(&s.write, s.http.SetWriteDeadline)
	defer s.done(&s.write)
	return do()
}

// boundFinalWrite limits what net/http writes once the handler has returned: nothing rests
// from here on.
func (s *stream) boundFinalWrite() error {
	return s.http.SetWriteDeadline(time.Now().Add(s.write.timeout))
}

// requestBody reads the request's body, with the limit of the listener.
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
