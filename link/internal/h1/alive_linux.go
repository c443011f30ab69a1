package h1

import (
	"crypto/tls"
	"net"
	"syscall"
)

// alive reports whether an unused connection is open and silent: what a target
// says without being asked is no answer to the next request.
func alive(c net.Conn) bool {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if e, ok := c.(*underTLS); ok {
		c = e.Conn
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return true // of another network, in tests
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // G115: a descriptor
		silent = err == syscall.EAGAIN
		return true
	})
	return silent && err == nil
}
