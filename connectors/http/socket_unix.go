//go:build unix

package http

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// socket is a TCP connection that can be read without waiting, also from above
// TLS, which may hold bytes of its own.
type socket struct {
	*net.TCPConn
	raw     syscall.RawConn
	looking bool // Read does not wait

	// Of the call of raw under way; the functions are made once.
	into    []byte
	n       int
	err     error
	doRead  func(fd uintptr)
	pending int
	doCount func(fd uintptr)
	doPeek  func(fd uintptr)
}

// newSocket is nil for what is no TCP connection.
func newSocket(nc net.Conn) (*socket, *turn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil, nil
	}
	raw, _ := tcp.SyscallConn() // it fails for a zero TCPConn only
	s := &socket{TCPConn: tcp, raw: raw}
	s.doRead = func(fd uintptr) { s.n, s.err = syscall.Read(int(fd), s.into) }
	s.doPeek = func(fd uintptr) { s.n, _, s.err = syscall.Recvfrom(int(fd), s.into, syscall.MSG_PEEK) }
	s.doCount = func(fd uintptr) { s.pending = unacknowledged(int(fd)) }
	return s, newTurn(raw)
}

// Read is TCPConn's, or under a look what is there. If nothing is, the time is
// over at once: an error that crypto/tls does not keep.
func (s *socket) Read(p []byte) (int, error) {
	if !s.looking {
		return s.TCPConn.Read(p)
	}
	s.into = p
	err := s.raw.Control(s.doRead)
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(s.err, syscall.EAGAIN), errors.Is(s.err, syscall.EINTR):
		return 0, os.ErrDeadlineExceeded
	case s.err != nil:
		return 0, s.err
	case s.n <= 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// readable reports whether there is anything to read.
func (s *socket) readable() bool {
	var b [1]byte
	s.into = b[:]
	err := s.raw.Control(s.doPeek)
	s.into = nil
	return err == nil && s.err == nil && s.n > 0
}

// unread reports whether the system of the server has not taken all of the
// request. Asked once the first bytes of an answer were read: whoever answers
// a request that he read has acknowledged it in the same packet or before.
func (s *socket) unread() bool {
	return s.raw.Control(s.doCount) == nil && s.pending > 0
}
