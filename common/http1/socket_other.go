//go:build !unix

package http1

import (
	"errors"
	"io"
	"net"
)

// socket is the connection below a clientConn and below its TLS. It cannot be read
// here without waiting.
type socket struct {
	net.Conn
	looking, ended bool
}

func newSocket(nc net.Conn) *socket { return &socket{Conn: nc} }

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.ended = s.ended || errors.Is(err, io.EOF)
	return n, err
}

func (*socket) direct() bool { return false }

func (*socket) lookable() bool { return false }

func (*socket) exchange([]byte, bool, func()) (int, error) { return 0, nil }

func (*socket) undelivered() bool { return false }
