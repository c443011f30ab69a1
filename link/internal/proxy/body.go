package proxy

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// resendableBody is the body of a request that several attempts may send. What is
// read is kept up to a bound; beyond it, the body can be sent only once.
//
// Each attempt reads it through an attemptBody of its own. A transport may read after
// it has failed: a read that waits for the application goes on, and its bytes are kept
// for the next attempt.
type resendableBody struct {
	r       *http1.Request
	maxKept int
	limit   *callLimit // told of each read
	first   interruption

	mu         sync.Mutex // never held while the request's body is read
	changed    sync.Cond  // a read ended, or the body's use did; L is &mu
	reading    bool
	total      int    // bytes read of the body
	kept       []byte // all bytes read; nil if there were too many
	err        error  // first error of the request's body; io.EOF: it was read whole
	last       *attemptBody
	openBodies int // open attemptBodies
	over       bool
}

// readSmallBody reads a small body of known length at once, to send it with the head in
// one piece. With ahead, a body of unknown length is read too, as far as it can be
// kept.
func (b *resendableBody) readSmallBody(ctx context.Context, r *http1.Request, most int, ahead bool) error {
	b.r, b.maxKept = r, most
	b.changed.L = &b.mu
	if ahead && r.Length < 0 {
		return b.readAhead(ctx)
	}
	if r.Length > 0 && r.Length <= int64(most) {
		b.first.begin(ctx, r)
		b.kept = make([]byte, r.Length)
		b.limit.beginBodyWait()
		n, err := io.ReadFull(r.Body, b.kept)
		if err == nil && r.Trailer != nil && r.HTTP2 {
			err = readTrailer(r.Body)
		}
		b.limit.progressed(&b.limit.bodyWait)
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

func (b *resendableBody) readAhead(ctx context.Context) (err error) {
	b.first.begin(ctx, b.r)
	b.limit.beginBodyWait()
	b.kept, err = io.ReadAll(io.LimitReader(b.r.Body, int64(b.maxKept)+1))
	b.limit.progressed(&b.limit.bodyWait)
	b.first.end()
	if b.total = len(b.kept); err == nil && b.total <= b.maxKept {
		b.err = io.EOF
	}
	return err
}

// readTrailer reads on to the end of a body of HTTP/2 of which every byte was read:
// its trailer comes with the end.
func readTrailer(body io.Reader) error {
	if n, err := body.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	return nil
}

// complete reports whether the body came whole.
func (b *resendableBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// interruption ends a read of a request's body when a context ends. The context may
// end together with the read; the interruption must not hit the connection's next
// request then.
type interruption struct {
	hook callctx.Hook
	mu   sync.Mutex
	r    *http1.Request // nil: it is over
}

func (i *interruption) begin(ctx context.Context, r *http1.Request) {
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

// canResend reports whether another attempt can send the body from its beginning.
func (b *resendableBody) canResend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isKeptWhole()
}

func (b *resendableBody) isKeptWhole() bool {
	return b.total <= b.maxKept && (b.err == nil || errors.Is(b.err, io.EOF))
}

// detachAttempt is canResend, and takes the body from the attempt that has it: a read
// that it waits for is its last.
func (b *resendableBody) detachAttempt() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isKeptWhole() {
		return false
	}
	b.last = nil
	return true
}

// describeBody sets the length of an attempt's body, and its bytes if all are known,
// for a credential that covers the body.
func (b *resendableBody) describeBody(out *http1.Outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if out.Length = b.r.Length; b.total <= b.maxKept && errors.Is(b.err, io.EOF) {
		out.Kept = b.kept
	}
}

// attachBody gives an attempt its body, with the framing of the application.
func (b *resendableBody) attachBody(out *http1.Outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out.Length, out.Kept = b.r.Length, nil
	if errors.Is(b.err, io.EOF) && out.Length == int64(len(b.kept)) {
		out.Kept = b.kept
		return
	}
	b.last = &attemptBody{b: b}
	b.openBodies++
	out.Body = b.last
}

// finish ends the use of the body and waits for its readers; a read that waits for the
// application is interrupted.
func (b *resendableBody) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.changed.Broadcast()
	if b.openBodies == 0 {
		return
	}
	b.mu.Unlock()
	b.r.Interrupt()
	b.mu.Lock()
	for b.openBodies > 0 {
		b.changed.Wait()
	}
}

// attemptBody is one attempt's view of the body. One goroutine reads it.
type attemptBody struct {
	b    *resendableBody
	at   int
	shut bool
}

var errAttemptOver = errors.New("the attempt is over")

// Read reads on. One goroutine at a time reads the request's body; another
// attempt's waits for what it brings.
func (h *attemptBody) Read(p []byte) (int, error) {
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
			b.changed.Wait()
		default:
			return h.readOn(p)
		}
	}
}

// readOn reads the request's body. What the last attemptBody reads is kept up to the
// bound; what an earlier one reads, always: it is one read, which the last one has yet
// to see.
func (h *attemptBody) readOn(p []byte) (int, error) {
	b := h.b
	b.reading = true
	b.mu.Unlock()
	b.limit.beginBodyWait()
	n, err := b.r.Body.Read(p)
	b.limit.progressed(&b.limit.bodyWait)
	b.mu.Lock()
	b.reading = false
	b.changed.Broadcast()
	b.err = err
	b.total += n
	h.at += n
	if b.last == h && b.total > b.maxKept {
		b.kept = nil
	} else {
		b.kept = append(b.kept, p[:n]...)
	}
	return n, err
}

// Close says that the attempt reads no more.
func (h *attemptBody) Close() error {
	b := h.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if !h.shut {
		h.shut = true
		b.openBodies--
		b.changed.Broadcast()
	}
	return nil
}

// errBody is the error of a body that did not come whole.
func errBody(ctx context.Context, err error) error {
	switch {
	case limitEnded(ctx), errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{code: call.RequestTimeout, detail: "the body of the request did not come in time"}
	case ctx.Err() != nil:
		return &http1.Error{Reason: http1.ReasonGone, Err: ctx.Err()}
	}
	return &refusal{code: call.BadRequest, detail: "the body of the request did not come whole, or its chunks are malformed"}
}
