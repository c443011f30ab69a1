package http1

import (
	"io"
	"syscall"
)

// idleRead is the wait of a connection for its next request, with no buffer in hand:
// a thousand applications that keep a connection cost little while they are
// silent. It reads with the descriptor, into buffers that it takes once there
// is something to read.
type idleRead struct {
	c    *serverConn
	raw  syscall.RawConn // nil: of another network, in tests
	step func(fd uintptr) bool
	err  error
}

func (r *idleRead) init(c *serverConn) {
	r.c, r.step = c, r.do
	if s, ok := c.nc.(syscall.Conn); ok {
		r.raw, _ = s.SyscallConn() // it fails where the connection does
	}
}

// fill reads the beginning of a request. Nothing of another one is there.
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

func (r *idleRead) do(fd uintptr) bool {
	c := r.c
	c.takeBuffers()
	n, err := syscall.Read(int(fd), c.in.data) //nolint:gosec // G115: a descriptor
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		c.returnBuffers()
		return err == syscall.EINTR && r.do(fd)
	case err != nil:
		r.err = err
	case n == 0:
		r.err = io.EOF
	default:
		c.in.w = n
	}
	return true
}
