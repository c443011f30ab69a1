package http1

import (
	"errors"
	"os"
	"syscall"
)

// idleRead waits for the next request of a connection without holding a buffer, so that
// idle connections use little memory.
type idleRead struct {
	c    *serverConn
	raw  syscall.RawConn // nil: not a socket
	step func(fd uintptr) bool
	err  error
}

func (r *idleRead) init(c *serverConn) { r.c, r.raw, r.step = c, rawConn(c.nc), r.read }

// fill takes buffers and reads the first bytes of a request into them.
func (r *idleRead) fill() error {
	if r.raw == nil {
		r.c.takeBuffers()
		return r.c.in.fill(readBuffer)
	}
	if err := r.raw.Read(r.step); err != nil {
		return err
	}
	return r.err
}

func (r *idleRead) read(fd uintptr) bool {
	c := r.c
	c.takeBuffers()
	c.in.w, r.err = readNow(fd, c.in.data)
	if errors.Is(r.err, os.ErrDeadlineExceeded) {
		c.returnBuffers()
		return false
	}
	return true
}
