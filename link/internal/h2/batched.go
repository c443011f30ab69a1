package h2

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// coalescer is a connection whose writes go out together. net/http flushes each
// frame by itself, where most of them follow one another at once: a head, its body
// and its end are then one system call, and wake the peer once. A goroutine
// writes while there is something to write; Wait waits for it.
//
// A write that fails closes the connection, which the reader sees.
type coalescer struct {
	net.Conn
	most time.Duration // in which a write has to move something

	mu      sync.Mutex
	turn    sync.Cond // room was made, or a write failed; L is &mu
	held    *[]byte   // nil: nothing is
	writing bool
	closing bool
	err     error // sticky
	until   time.Time
	writes  sync.WaitGroup
}

const (
	maxHeldBytes = 64 << 10               // bytes, of which the last write may be too much
	flushTimeout = 250 * time.Millisecond // for what is held when the connection is closed
)

var coalescerBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

func newBatched(nc net.Conn, most time.Duration) *coalescer {
	b := &coalescer{Conn: nc, most: most}
	b.turn.L = &b.mu
	return b
}

// Write holds p back for the moment in which more may come.
func (b *coalescer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.held != nil && len(*b.held) >= maxHeldBytes && b.err == nil && !b.closing {
		b.turn.Wait()
	}
	switch {
	case b.err != nil:
		return 0, b.err
	case b.closing:
		return 0, net.ErrClosed
	case b.held == nil:
		b.held, _ = coalescerBuffers.Get().(*[]byte)
	}
	*b.held = append(*b.held, p...)
	if !b.writing {
		b.writing = true
		b.writes.Go(b.drain)
	}
	return len(p), nil
}

// drain writes until nothing is held.
func (b *coalescer) drain() {
	runtime.Gosched() // whoever has more to say is about to
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.held != nil && b.err == nil {
		out := b.held
		b.held = nil
		b.mu.Unlock()
		err := b.writeAll(*out)
		b.mu.Lock()
		if err != nil {
			b.err = err
			_ = b.Conn.Close() // it takes nothing more
		}
		if cap(*out) <= 2*maxHeldBytes {
			*out = (*out)[:0]
			coalescerBuffers.Put(out)
		}
		b.turn.Broadcast()
	}
	b.writing = false
	if b.closing {
		_ = b.Conn.Close() // whoever closes it has gone on
	}
}

// writeAll writes all of p, for as long as some of it goes out in time.
func (b *coalescer) writeAll(p []byte) error {
	for {
		closing := b.deadline()
		n, err := b.Conn.Write(p)
		if p = p[n:]; len(p) == 0 || n == 0 || closing || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// deadline gives a write its time. Moving one costs as much as a small write, so
// one that has at least three quarters of its time left stays.
func (b *coalescer) deadline() (closing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); !b.closing && b.until.Sub(now) < b.most-b.most/4 {
		b.until = now.Add(b.most)
		_ = b.Conn.SetWriteDeadline(b.until) // a failure shows in the write
	}
	return b.closing
}

// Close closes the connection once what is held was written, or a moment has
// passed; it does not wait for that.
func (b *coalescer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing = true
	b.turn.Broadcast()
	if !b.writing {
		return b.Conn.Close()
	}
	return b.Conn.SetWriteDeadline(time.Now().Add(flushTimeout))
}

// Wait waits for the writes of a connection that is closed, or about to be.
func (b *coalescer) Wait() { b.writes.Wait() }
