package proxy

import (
	"errors"
	"io"
	"sync"

	"github.com/lsm/fiso/link/internal/call"
)

// replay is the body of a request, which may be needed again. What is read of
// it is kept up to a bound; once more was read, it can be sent only once.
//
// Each attempt reads it through a handle of its own. Transports read in their
// own time, also after they have failed; a handle that was closed reads no more,
// and what one has read and another needs is in the kept part.
type replay struct {
	r    *call.Request
	most int

	mu      sync.Mutex // held while the request's body is read
	total   int        // bytes read of it
	kept    []byte     // all of them, unless tooMuch
	tooMuch bool
	err     error // of the request's body, sticky; io.EOF: it was read whole

	state sync.Mutex // guards what follows; never held while reading
	open  int        // handles
	over  bool
	quit  chan struct{} // closed with the last handle, once over
}

// newReplay reads a small body of known length at once: it then goes out with
// the head, in one piece.
func newReplay(r *call.Request, most int) (*replay, error) {
	b := &replay{r: r, most: most}
	if r.Length > 0 && r.Length <= int64(most) {
		b.kept = make([]byte, r.Length)
		n, err := io.ReadFull(r.Body, b.kept)
		if err != nil {
			return nil, err
		}
		b.total = n
	}
	if int64(b.total) == r.Length {
		b.err = io.EOF
	}
	return b, nil
}

// again reports whether another attempt can have the body from its beginning.
func (b *replay) again() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.tooMuch && (b.err == nil || b.err == io.EOF)
}

// show says what the body of an attempt will be, for a credential that covers
// it: the whole one, or how long it is.
func (b *replay) show(out *call.Outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if out.Length = b.r.Length; errors.Is(b.err, io.EOF) && !b.tooMuch {
		out.Kept, out.Length = b.kept, int64(len(b.kept))
	}
}

// put gives an attempt its body.
func (b *replay) put(out *call.Outgoing) {
	b.mu.Lock()
	whole, kept := b.err == io.EOF && !b.tooMuch, b.kept
	b.mu.Unlock()
	if whole {
		out.Kept, out.Length = kept, int64(len(kept))
		return
	}
	b.state.Lock()
	b.open++
	b.state.Unlock()
	out.Length, out.Body = b.r.Length, &handle{b: b}
}

// finish ends the use of the body, and waits for whoever reads it; a read that
// waits for the application is interrupted.
func (b *replay) finish() {
	b.state.Lock()
	b.over = true
	if b.open == 0 {
		b.state.Unlock()
		return
	}
	b.quit = make(chan struct{})
	b.state.Unlock()
	b.r.Interrupt()
	<-b.quit
}

// handle is one attempt's view of the body. One goroutine reads it.
type handle struct {
	b    *replay
	at   int
	shut bool // guarded by b.state
}

var errAttemptOver = errors.New("the attempt is over")

func (h *handle) Read(p []byte) (int, error) {
	b := h.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.isShut() || h.at < b.total && b.tooMuch {
		return 0, errAttemptOver
	}
	if h.at < b.total {
		n := copy(p, b.kept[h.at:])
		h.at += n
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Body.Read(p)
	b.err = err
	b.total += n
	h.at += n
	if !b.tooMuch {
		if b.tooMuch = b.total > b.most; b.tooMuch {
			b.kept = nil
		} else {
			b.kept = append(b.kept, p[:n]...)
		}
	}
	return n, err
}

func (h *handle) isShut() bool {
	h.b.state.Lock()
	defer h.b.state.Unlock()
	return h.shut || h.b.over
}

// Close says that the attempt reads no more.
func (h *handle) Close() error {
	b := h.b
	b.state.Lock()
	defer b.state.Unlock()
	if h.shut {
		return nil
	}
	h.shut = true
	if b.open--; b.open == 0 && b.quit != nil {
		close(b.quit)
	}
	return nil
}
