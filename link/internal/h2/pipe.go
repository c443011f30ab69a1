package h2

import (
	"errors"
	"io"
	"sync"
)

// pipe passes a body from the goroutine that reads it (copyFrom) to the one that wants
// it (read), through a buffer of fixed size. After stop, neither waits for the other.
type pipe struct {
	mu      sync.Mutex
	cond    sync.Cond // bytes, room, the end or stop; L is &mu
	piece   *[]byte   // the buffer; nil: returned to bodyPieces
	r, w    int       // piece[r:w] is unread
	err     error     // after these bytes; io.EOF: the body is complete
	stopped bool      // the reader has left
	ended   bool      // the writer has left
}

// bodyPieces are the buffers of pipes. A stream has one while it lasts.
var bodyPieces = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// read returns the next bytes. atEnd is called with the lock held once the last byte is
// read.
func (p *pipe) read(to []byte, atEnd func()) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.r == p.w && p.err == nil && !p.stopped {
		p.cond.Wait()
	}
	if p.stopped {
		return 0, io.ErrClosedPipe
	}
	if p.r < p.w {
		n = copy(to, (*p.piece)[p.r:p.w])
		p.r += n
		p.cond.Broadcast()
	}
	if p.r < p.w || p.err == nil {
		return n, nil
	}
	atEnd()
	p.release()
	return n, p.err
}

// stop ends a waiting read and all later ones, and copyFrom after its current read.
func (p *pipe) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.cond.Broadcast()
	p.release()
}

// end sets the error after the last byte. first is called with the lock held, before a
// reader sees the error.
func (p *pipe) end(err error, first func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.ended = err, true
	first()
	p.cond.Broadcast()
	p.release()
}

// release returns the buffer once nobody needs it. Called with the lock held.
func (p *pipe) release() {
	if p.piece != nil && p.ended && (p.stopped || p.r == p.w) {
		bodyPieces.Put(p.piece)
		p.piece = nil
	}
}

// errUnwanted ends a body whose rest nobody wants. The cause is known elsewhere.
var errUnwanted = errors.New("the rest of the body is not wanted")

// copyFrom reads a body of a length, or of unknown length (-1). It returns io.EOF if
// the body is complete.
func (p *pipe) copyFrom(body io.Reader, length int64) error {
	for left := length; ; {
		room := p.room()
		if room == nil {
			return errUnwanted
		}
		n, err := body.Read(room)
		left -= int64(n)
		p.mu.Lock()
		p.w += n
		p.cond.Broadcast()
		p.mu.Unlock()
		switch {
		case errors.Is(err, io.EOF) && length >= 0 && left != 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// room waits for free space in the buffer; nil: the reader has left.
func (p *pipe) room() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.piece == nil {
		p.piece, _ = bodyPieces.Get().(*[]byte)
	}
	piece := *p.piece
	for !p.stopped {
		if p.r > len(piece)/2 || p.r == p.w {
			p.r, p.w = 0, copy(piece, piece[p.r:p.w])
		}
		if p.w < len(piece) {
			return piece[p.w:]
		}
		p.cond.Wait()
	}
	return nil
}
