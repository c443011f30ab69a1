package http1

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// awaitReset waits until a connection whose peer has ended its side breaks, or until its
// read deadline. It does not wait on a connection that is not a socket.
func awaitReset(nc net.Conn) {
	raw := rawConn(nc)
	if raw == nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { // the only error is the deadline of watch.stop
		broken, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR) //nolint:gosec // G115: a descriptor
		return err != nil || broken != 0
	})
}

// unacknowledged is how many written bytes the peer's system has not acknowledged, or 0
// if that is unknown.
func unacknowledged(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
