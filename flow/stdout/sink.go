// Package stdout is the sink for trying a flow out: every event as one line of
// structured CloudEvents JSON.
package stdout

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// Config has no settings: the sink writes to the standard output of fiso-flow.
type Config struct{}

// Sink writes events to an io.Writer, one line each. It is safe for concurrent
// use; lines never mix.
type Sink struct {
	mu     sync.Mutex
	w      io.Writer
	buf    []byte
	closed bool
}

// New is a sink that writes to w. It never closes w.
func New(w io.Writer) *Sink { return &Sink{w: w} }

// keep bounds the buffer that is kept between events.
const keep = 1 << 20

// Send writes one line. An error of the writer is temporary; what was written
// of the line by then stays written.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("write to stdout: %w", connector.ErrClosed)
	}
	s.buf = append(e.AppendJSON(s.buf[:0]), '\n')
	_, err := s.w.Write(s.buf)
	if cap(s.buf) > keep {
		s.buf = nil
	}
	if err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// Close makes further sends fail. It may be called twice.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
