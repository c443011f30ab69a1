package h2

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// coalescer is a connection that combines consecutive writes. net/http flushes each
// frame separately, although most frames follow one another at once: a head, its body
// and its end then take one system call and wake the peer once. A goroutine writes
// while bytes are held; Wait waits for it.
//
// A failed write closes the connection, which the reader notices.
type coalescer struct {
	net.Conn
	writeTimeout time.Duration // longest time of a write without progress

	mu      sync.Mutex
	cond    sync.Cond // held was taken, or a write failed; L is &mu
	held    *[]byte   // bytes to write; nil: none
	writing bool
	closing bool
	err     error     // sticky
	until   time.Time // write deadline
	writes  sync.WaitGroup
}

const (
	maxHeldBytes = 64 << 10               // bytes; the last write may exceed it
	flushTimeout = 250 * time.Millisecond // for the held bytes when the connection is closed
)

var coalescerBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

func newCoalescer(nc net.Conn, writeTimeout time.Duration) *coalescer {
	b := &coalescer{Conn: nc, writeTimeout: writeTimeout}
	b.cond.L = &b.mu
	return b
}

// Write holds p back for a moment in which more may come.
func (b *coalescer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.held != nil && len(*b.held) >= maxHeldBytes && b.err == nil && !b.closing {
		b.cond.Wait()
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

// drain writes until no bytes are held.
func (b *coalescer) drain() {
	runtime.Gosched() // lets other goroutines add their frames
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
			_ = b.Conn.Close() // nothing more can be written
		}
		if cap(*out) <= 2*maxHeldBytes {
			*out = (*out)[:0]
			coalescerBuffers.Put(out)
		}
		b.cond.Broadcast()
	}
	b.writing = false
	if b.closing {
		_ = b.Conn.Close() // Close did not wait for the writes
	}
}

// writeAll writes all of p, as long as some of it is written before each deadline.
func (b *coalescer) writeAll(p []byte) error {
	for {
		closing := b.deadline()
		n, err := b.Conn.Write(p)
		if p = p[n:]; len(p) == 0 || n == 0 || closing || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// deadline sets the deadline of a write and reports whether the connection is closing.
// Setting a deadline costs as much as a small write, so one with at least three
// quarters of its time left is kept.
func (b *coalescer) deadline() (closing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); !b.closing && b.until.Sub(now) < b.writeTimeout-b.writeTimeout/4 {
		b.until = now.Add(b.writeTimeout)
		_ = b.Conn.SetWriteDeadline(b.until) // a failure shows in the write
	}
	return b.closing
}

// Close closes the connection once the held bytes are written, or after flushTimeout.
// It does not wait for that.
func (b *coalescer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing = true
	b.cond.Broadcast()
	if !b.writing {
		return b.Conn.Close()
	}
	return b.Conn.SetWriteDeadline(time.Now().Add(flushTimeout))
}

// Wait waits for the writes of a connection that is closed or will be.
func (b *coalescer) Wait() { b.writes.Wait() }
