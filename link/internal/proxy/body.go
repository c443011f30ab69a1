package proxy

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/lsm/fiso/link/internal/call"
)

// replay is the body of a request, which may be needed again. What is read of
// it is kept up to a bound; once more was read, it can be sent only once.
//
// Each attempt reads it through a handle of its own. Transports read in their
// own time, also after they have failed: a read that waits for the application
// then goes on, and what it brings is kept for the attempt that follows.
type replay struct {
	r     *call.Request
	most  int
	limit *limit // told of each read
	first interruption

	mu      sync.Mutex // never held while the request's body is read
	turn    sync.Cond  // a read ended, or the body's use did; L is &mu
	reading bool
	total   int    // bytes read of the body
	kept    []byte // all of them, or nil when there were too many
	err     error  // of the request's body, sticky; io.EOF: it was read whole
	last    *handle
	open    int // handles
	over    bool
}

// begin reads a small body of known length at once: it then goes out with the
// head, in one piece. With ahead, one of unknown length is read too, as far as it
// can be kept.
func (b *replay) begin(ctx context.Context, r *call.Request, most int, ahead bool) error {
	b.r, b.most = r, most
	b.turn.L = &b.mu
	if ahead && r.Length < 0 {
		return b.readAhead(ctx)
	}
	if r.Length > 0 && r.Length <= int64(most) {
		b.first.begin(ctx, r)
		b.kept = make([]byte, r.Length)
		b.limit.send()
		n, err := io.ReadFull(r.Body, b.kept)
		if err == nil && r.Trailer != nil && r.HTTP2 {
			err = trailerCame(r.Body)
		}
		b.limit.moved(&b.limit.sends)
		b.first.end()
		if err != nil {
			return err
		}
		b.total = n
	}
	if int64(b.total) == r.Length {
		b.err = io.EOF
	}
	return nil
}

func (b *replay) readAhead(ctx context.Context) (err error) {
	b.first.begin(ctx, b.r)
	b.limit.send()
	b.kept, err = io.ReadAll(io.LimitReader(b.r.Body, int64(b.most)+1))
	b.limit.moved(&b.limit.sends)
	b.first.end()
	if b.total = len(b.kept); err == nil && b.total <= b.most {
		b.err = io.EOF
	}
	return err
}

// trailerCame reads on to the end of a body of HTTP/2 of which every byte was read:
// its trailer comes with the end.
func trailerCame(body io.Reader) error {
	if n, err := body.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	return nil
}

// complete reports whether the body came whole.
func (b *replay) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// interruption ends a read of a request's body when a context ends. That may be
// told late, where the context ends with the read, and must not meet the body of
// the connection's next request.
type interruption struct {
	hook call.Hook
	mu   sync.Mutex
	r    *call.Request // nil: it is over
}

func (i *interruption) begin(ctx context.Context, r *call.Request) {
	i.r, i.hook.Do = r, i.interrupt
	i.hook.On(ctx)
}

func (i *interruption) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.r != nil {
		i.r.Interrupt()
	}
}

func (i *interruption) end() {
	i.hook.Remove()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.r = nil
}

// again reports whether another attempt can have the body from its beginning.
func (b *replay) again() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.whole()
}

func (b *replay) whole() bool {
	return b.total <= b.most && (b.err == nil || errors.Is(b.err, io.EOF))
}

// retire is again, and then takes the body from the attempt that had it: a read
// of its that waits is its last.
func (b *replay) retire() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole() {
		return false
	}
	b.last = nil
	return true
}

// show says what the body of an attempt will be, for a credential that covers
// it: the bytes where they are all known, however they will be framed.
func (b *replay) show(out *call.Outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if out.Length = b.r.Length; b.total <= b.most && errors.Is(b.err, io.EOF) {
		out.Kept = b.kept
	}
}

// put gives an attempt its body, framed as the application framed it.
func (b *replay) put(out *call.Outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out.Length, out.Kept = b.r.Length, nil
	if errors.Is(b.err, io.EOF) && out.Length == int64(len(b.kept)) {
		out.Kept = b.kept
		return
	}
	b.last = &handle{b: b}
	b.open++
	out.Body = b.last
}

// finish ends the use of the body, and waits for whoever reads it; a read that
// waits for the application is interrupted.
func (b *replay) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.turn.Broadcast()
	if b.open == 0 {
		return
	}
	b.mu.Unlock()
	b.r.Interrupt()
	b.mu.Lock()
	for b.open > 0 {
		b.turn.Wait()
	}
}

// handle is one attempt's view of the body. One goroutine reads it.
type handle struct {
	b    *replay
	at   int
	shut bool
}

var errAttemptOver = errors.New("the attempt is over")

// Read reads on. One goroutine at a time reads the request's body; another
// attempt's waits for what it brings.
func (h *handle) Read(p []byte) (int, error) {
	b := h.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case h.shut || b.over || b.last != h:
			return 0, errAttemptOver
		case h.at < b.total:
			n := copy(p, b.kept[h.at:])
			h.at += n
			return n, nil
		case b.err != nil:
			return 0, b.err
		case b.reading:
			b.turn.Wait()
		default:
			return h.more(p)
		}
	}
}

// more reads the request's body. What the last handle reads is kept while there
// are not too many bytes; what an earlier one does, always: it is one read, and
// the last handle has yet to see it.
func (h *handle) more(p []byte) (int, error) {
	b := h.b
	b.reading = true
	b.mu.Unlock()
	b.limit.send()
	n, err := b.r.Body.Read(p)
	b.limit.moved(&b.limit.sends)
	b.mu.Lock()
	b.reading = false
	b.turn.Broadcast()
	b.err = err
	b.total += n
	h.at += n
	if b.last == h && b.total > b.most {
		b.kept = nil
	} else {
		b.kept = append(b.kept, p[:n]...)
	}
	return n, err
}

// Close says that the attempt reads no more.
func (h *handle) Close() error {
	b := h.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if !h.shut {
		h.shut = true
		b.open--
		b.turn.Broadcast()
	}
	return nil
}

// errBody is a body that did not come whole.
func errBody(ctx context.Context, err error) error {
	switch {
	case ended(ctx), errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{code: call.RequestTimeout, detail: "the body of the request did not come in time"}
	case ctx.Err() != nil:
		return &call.Error{Reason: call.Gone, Err: ctx.Err()}
	}
	return &refusal{code: call.BadRequest, detail: "the body of the request did not come whole, or its chunks are malformed"}
}
