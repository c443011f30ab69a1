package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// socket is the TCP connection below a clientConn and below its TLS. It can be read
// without waiting, and can write a request and wait for the answer in one call.
type socket struct {
	net.Conn
	raw     syscall.RawConn // nil: not a socket
	plain   bool            // there is no TLS above or below
	looking bool            // Read does not wait
	ended   bool            // Read has reached the end of the connection

	// Functions for raw, made once, and their arguments and results.
	readStep     func(fd uintptr)
	into         []byte
	n            int
	err          error
	exchangeStep func(fd uintptr) bool
	look         bool
	out          []byte
	written      int
	sent         func()
	countStep    func(fd uintptr)
	pending      int
}

func newSocket(nc net.Conn) *socket {
	s := &socket{Conn: nc, plain: true}
	if _, ok := nc.(*tls.Conn); ok {
		s.plain = false
	} else {
		s.raw = rawConn(nc)
	}
	s.exchangeStep = s.writeAndWait
	s.readStep = func(fd uintptr) { s.n, s.err = readNow(fd, s.into) }
	s.countStep = func(fd uintptr) { s.pending = unacknowledged(int(fd)) } //nolint:gosec // G115: a descriptor
	return s
}

// rawConn is nil if nc is not a socket, or broken, or cannot be read without waiting.
func rawConn(nc net.Conn) syscall.RawConn {
	if s, ok := nc.(syscall.Conn); ok && hasDescriptors {
		if raw, err := s.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// Read does not wait while looking is set. Its error is then os.ErrDeadlineExceeded if
// there is nothing to read, which crypto/tls does not store.
func (s *socket) Read(p []byte) (n int, err error) {
	if !s.looking {
		n, err = s.Conn.Read(p)
	} else {
		s.into = p
		if err = s.raw.Control(s.readStep); err == nil {
			n, err = s.n, s.err
		}
		s.into = nil
	}
	s.ended = s.ended || errors.Is(err, io.EOF)
	return n, err
}

// readNow reads from a descriptor without waiting.
func readNow(fd uintptr, p []byte) (int, error) {
	n, err := readDescriptor(fd, p)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, io.EOF
	}
	return n, nil
}

// exchange needs raw and plain. It looks whether the connection is good if look is set, writes a request, and
// waits until there is something to read, without the read of a net.Conn that comes
// before the wait and cannot succeed yet. The wait is registered before the look, so it
// misses nothing. err is what the look found; nothing is written then. An error of the
// write shows when the caller writes the rest.
func (s *socket) exchange(request []byte, look bool, sent func()) (written int, err error) {
	s.look, s.err, s.out, s.written, s.sent = look, nil, request, 0, sent
	_ = s.raw.Read(s.exchangeStep) // its error shows in the next read, too
	s.out, s.sent = nil, nil
	return s.written, s.err
}

// writeAndWait is called with the descriptor, and again when there is something to
// read. It returns true to end the wait.
func (s *socket) writeAndWait(fd uintptr) bool {
	if s.look {
		var one [1]byte
		s.look = false
		_, err := readNow(fd, one[:])
		if s.err = lookError(err); s.err != nil {
			return true
		}
	}
	if s.written == len(s.out) {
		return true // the answer begins
	}
	n, err := writeDescriptor(fd, s.out)
	s.written = max(n, 0)
	if err != nil || s.written < len(s.out) {
		return true
	}
	if s.sent != nil {
		s.sent()
	}
	return false
}

// undelivered reports whether the server's system has not acknowledged all that was
// written. A server that answers a request which it has read acknowledges it in the
// packet of the answer or before.
func (s *socket) undelivered() bool {
	return s.raw != nil && s.raw.Control(s.countStep) == nil && s.pending > 0
}
