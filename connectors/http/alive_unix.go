//go:build unix

package http

import (
	"net"
	"syscall"
)

// alive looks, without waiting, whether an idle connection is still good: the
// server did not close it, and sent nothing that nobody asked for. So a server
// that closes idle connections costs no failed call.
func alive(nc net.Conn) bool {
	if wrapped, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = wrapped.NetConn() // below TLS
	}
	raw, ok := nc.(syscall.Conn)
	if !ok {
		return true // nothing to look at; the call will tell
	}
	rc, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		open = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
		return true
	})
	return err == nil && open
}
