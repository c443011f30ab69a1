// Package stdout is the sink for trying a flow out: every event as one line of
// structured CloudEvents JSON.
package stdout

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// Config has no settings: the sink writes to the standard output of fiso-flow.
type Config struct{}

// Sink writes events to an io.Writer, one line each. It is a
// connector.BatchSink, safe for concurrent use; lines never mix.
type Sink struct {
	mu             sync.Mutex // around Write alone: events become lines side by side
	w              io.Writer
	lineUnfinished bool // the last thing written is part of a line
	closed         bool

	lines sync.Pool // of *lines
}

// lines are events about to be written.
type lines struct {
	bytes []byte
	ends  []int // where each line ends
}

var _ connector.BatchSink = (*Sink)(nil)

// New is a sink that writes to w. It never closes w. Where w is a pipe, it has
// the pipe hold up to 1 MiB, if the system lets it: what stands in there counts
// as delivered, as with any pipe, and is lost if its reader ends.
func New(w io.Writer) *Sink {
	growPipe(w)
	return &Sink{w: w, lines: sync.Pool{New: func() any { return new(lines) }}}
}

// maxKeptBuffer bounds the buffers that are kept between events: those of a batch of
// 1 MiB of data fit.
const maxKeptBuffer = 2 << 20

// Send writes one line. An error of the writer is temporary; what was written
// of the line by then stays written, on a line of its own.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	events := [1]*cloudevent.Event{e}
	if errs := s.SendBatch(ctx, events[:]); errs != nil {
		return errs[0]
	}
	return nil
}

// SendBatch writes a line for each event, all in one call of the writer. When
// that fails midway, the events whose lines are out are delivered, and the
// others have the error. One that cannot be written as JSON is refused alone.
func (s *Sink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	if err := ctx.Err(); err != nil {
		return slices.Repeat([]error{fmt.Errorf("write to stdout: %w", err)}, len(events))
	}
	l := s.lines.Get().(*lines)
	defer s.recycle(l)
	var errs []error // nil while all is well
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
		for i, end := range l.ends {
			if end > n {
				fail(i, err)
			}
		}
	}
	return errs
}

// write writes whole lines, and returns how much of them is out. A line that
// an earlier call left unfinished is ended first, so that it spoils no other.
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

// Close makes further sends fail. It may be called twice.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
