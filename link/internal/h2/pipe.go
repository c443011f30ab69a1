package h2

import (
	"errors"
	"io"
	"sync"
)

// pipe passes a body from the goroutine that reads it (copyFrom) to the one that
// wants it (Read), by a bounded piece of memory. Neither waits for the other's
// reads or locks once stop was called.
type pipe struct {
	mu    sync.Mutex
	turn  sync.Cond // bytes or an end came, room was made, or stopped; L is &mu
	piece *[]byte   // nil: given back
	r, w  int       // piece[r:w] is to be read
	err   error     // behind them; io.EOF: the body came whole
	shut  bool      // nobody reads any more
	ended bool      // nobody writes any more
}

// bodyPieces are what bodies wait in. A stream has one for as long as it lasts.
var bodyPieces = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// read reads on. behind is called with the lock held once the last byte was read.
func (p *pipe) read(to []byte, behind func()) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.r == p.w && p.err == nil && !p.shut {
		p.turn.Wait()
	}
	if p.shut {
		return 0, io.ErrClosedPipe
	}
	if p.r < p.w {
		n = copy(to, (*p.piece)[p.r:p.w])
		p.r += n
		p.turn.Broadcast()
	}
	if p.r < p.w || p.err == nil {
		return n, nil
	}
	behind()
	p.release()
	return n, p.err
}

// stop ends a read that waits, and those that follow, and copyFrom once it has
// read.
func (p *pipe) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	p.turn.Broadcast()
	p.release()
}

// end says what stands behind the last byte; also is called with the lock held, before
// a reader sees that.
func (p *pipe) end(err error, also func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.ended = err, true
	also()
	p.turn.Broadcast()
	p.release()
}

// release gives the piece back once nobody needs it. Called with the lock held.
func (p *pipe) release() {
	if p.piece != nil && p.ended && (p.shut || p.r == p.w) {
		bodyPieces.Put(p.piece)
		p.piece = nil
	}
}

// errUnwanted ends a body of which nobody wants more: what ended the stream says
// why.
var errUnwanted = errors.New("the rest of the body is not wanted")

// copyFrom reads a body of a length, -1 where that is not known; io.EOF when it
// came whole.
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
		p.turn.Broadcast()
		p.mu.Unlock()
		switch {
		case errors.Is(err, io.EOF) && length >= 0 && left != 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// room waits for a place to read into; nil: nobody wants more.
func (p *pipe) room() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.piece == nil {
		p.piece, _ = bodyPieces.Get().(*[]byte)
	}
	piece := *p.piece
	for !p.shut {
		if p.r > len(piece)/2 || p.r == p.w {
			p.r, p.w = 0, copy(piece, piece[p.r:p.w])
		}
		if p.w < len(piece) {
			return piece[p.w:]
		}
		p.turn.Wait()
	}
	return nil
}
