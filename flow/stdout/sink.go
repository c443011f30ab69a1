// Package stdout implements a sink for trying out flows: it writes every event as one line of
// structured CloudEvents JSON.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// Config has no settings: the sink writes to the standard output of fiso-flow.
type Config struct{}

// Sink writes events to an io.Writer, one line each. It implements connector.BatchSink and is safe
// for concurrent use: lines never mix.
type Sink struct {
	mu             sync.Mutex // guards Write, not the encoding of events
	w              io.Writer
	lineUnfinished bool // the last write ended within a line
	closed         bool

	lines sync.Pool // of *lines
}

// lines is a buffer of encoded events.
type lines struct {
	bytes []byte
	ends  []int // end of each line in bytes
}

var _ connector.BatchSink = (*Sink)(nil)

// New returns a sink that writes to w and never closes it. If w is a pipe, New enlarges it up to 1
// MiB if the system allows that. Lines in the pipe count as delivered, and are lost if the reader
// exits.
func New(w io.Writer) *Sink {
	growPipe(w)
	return &Sink{w: w, lines: sync.Pool{New: func() any { return new(lines) }}}
}

// maxKeptBuffer limits the size of buffers in the pool. A batch with 1 MiB of data fits.
const maxKeptBuffer = 2 << 20

// Send writes one line. A write error says nothing about the event: the sink is unavailable. If part of the line was written, it stays as a
// line of its own.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	events := [1]*cloudevent.Event{e}
	if errs := s.SendBatch(ctx, events[:]); errs != nil {
		return errs[0]
	}
	return nil
}

// SendBatch writes a line for each event in a single Write. If the write fails midway, events
// whose lines were written completely are delivered and the others get the error. An event that
// cannot be encoded as JSON gets an error of its own.
func (s *Sink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	if err := ctx.Err(); err != nil {
		return slices.Repeat([]error{fmt.Errorf("write to stdout: %w", err)}, len(events))
	}
	l := s.lines.Get().(*lines)
	defer s.recycle(l)
	var errs []error // nil: no failure so far
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(events))
		}
		if errs[i] == nil {
			errs[i] = fmt.Errorf("write to stdout: %w", err)
		}
	}
	for i, e := range events {
		var err error
		if l.bytes, err = e.AppendJSON(l.bytes); err != nil {
			fail(i, err)
		} else {
			l.bytes = append(l.bytes, '\n')
		}
		l.ends = append(l.ends, len(l.bytes))
	}
	if n, err := s.write(l.bytes); err != nil {
		if !errors.Is(err, connector.ErrClosed) {
			err = connector.AsUnavailable(err, 0)
		}
		for i, end := range l.ends {
			if end > n {
				fail(i, err)
			}
		}
	}
	return errs
}

// write writes whole lines and returns how many bytes were written. It first ends a line that an
// earlier call left unfinished, so that the two do not mix.
func (s *Sink) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, connector.ErrClosed
	case len(b) == 0:
		return 0, nil
	case s.lineUnfinished:
		if _, err := s.w.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.lineUnfinished = false
	}
	n, err := s.w.Write(b)
	s.lineUnfinished = n > 0 && b[n-1] != '\n'
	return n, err
}

func (s *Sink) recycle(l *lines) {
	if cap(l.bytes) > maxKeptBuffer {
		return
	}
	l.bytes, l.ends = l.bytes[:0], l.ends[:0]
	s.lines.Put(l)
}

// Close makes later sends fail. It may be called twice.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
