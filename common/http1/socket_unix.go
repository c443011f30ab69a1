//go:build unix

package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// socket is the connection below a clientConn and below its TLS. It can be read
// without waiting, and it writes a request and waits for the answer in one call.
type socket struct {
	net.Conn
	raw     syscall.RawConn // nil: it is no socket
	plain   bool            // what is written goes out as it is: no TLS
	looking bool            // Read does not wait
	ended   bool            // the end of the connection was read

	// Of the call of raw under way. The functions are made once.
	step    func(fd uintptr) bool
	look    bool
	lookErr error
	out     []byte
	written int
	sent    func()
	into    []byte
	n       int
	err     error
	read    func(fd uintptr)
	pending int
	count   func(fd uintptr)
}

func newSocket(nc net.Conn) *socket {
	s := &socket{Conn: nc, plain: true}
	if _, ok := nc.(*tls.Conn); ok {
		s.plain = false
	} else if c, ok := nc.(syscall.Conn); ok {
		s.raw, _ = c.SyscallConn() // it fails where the connection does
	}
	s.step = s.writeAndWait
	s.read = func(fd uintptr) { s.n, s.err = syscall.Read(int(fd), s.into) } //nolint:gosec // G115: a descriptor
	s.count = func(fd uintptr) { s.pending = unacknowledged(int(fd)) }       //nolint:gosec // G115: the same
	return s
}

// Read is that of the connection; while looking it gives what is there. Where nothing
// is there, the time is over at once: an error that crypto/tls does not keep.
func (s *socket) Read(p []byte) (int, error) {
	if !s.looking {
		n, err := s.Conn.Read(p)
		s.ended = s.ended || errors.Is(err, io.EOF)
		return n, err
	}
	s.into = p
	err := s.raw.Control(s.read)
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(s.err, syscall.EAGAIN), errors.Is(s.err, syscall.EINTR):
		return 0, os.ErrDeadlineExceeded
	case s.err != nil:
		return 0, s.err
	case s.n <= 0:
		s.ended = true
		return 0, io.EOF
	}
	return s.n, nil
}

// direct reports whether exchange can be used.
func (s *socket) direct() bool { return s.raw != nil && s.plain }

// lookable reports whether the connection can be read without waiting.
func (s *socket) lookable() bool { return s.raw != nil }

// exchange looks at the connection, writes a request, and waits until there is
// something to read. A net.Conn would try to read the answer first, which cannot be
// there yet. The wait was made ready before the look, so it misses nothing. err is
// what the look found; then nothing was written. What was not written, for whatever
// reason, is for another write to tell.
func (s *socket) exchange(request []byte, look bool, sent func()) (written int, err error) {
	s.look, s.lookErr, s.out, s.written, s.sent = look, nil, request, 0, sent
	_ = s.raw.Read(s.step) // what fails here fails in the read that follows, too
	s.out, s.sent = nil, nil
	return s.written, s.lookErr
}

// writeAndWait is called with the descriptor, and again once there is something to
// read; true ends the wait.
func (s *socket) writeAndWait(fd uintptr) bool {
	if s.look {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK) //nolint:gosec // G115: a descriptor, which does not block
		s.look = false
		switch {
		case n > 0:
			s.lookErr = errUnasked
		case err == nil:
			s.lookErr = io.EOF
		case err != syscall.EAGAIN:
			s.lookErr = err
		}
		if s.lookErr != nil {
			return true
		}
	}
	if s.written == len(s.out) {
		return true // the answer begins
	}
	n, err := syscall.Write(int(fd), s.out) //nolint:gosec // G115: the same
	s.written = max(n, 0)
	if err != nil || s.written < len(s.out) {
		return true
	}
	if s.sent != nil {
		s.sent()
	}
	return false
}

// undelivered reports whether the system of the server has not taken all that was
// written. It is asked once the first bytes of an answer were read: a server that
// answers a request which it has read acknowledged it in the same packet or before.
func (s *socket) undelivered() bool {
	return s.raw != nil && s.raw.Control(s.count) == nil && s.pending > 0
}
