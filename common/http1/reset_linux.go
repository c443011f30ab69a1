package http1

import (
	"net"
	"syscall"
)

// awaitReset waits until a connection of which the peer has ended its side is broken,
// or its read deadline passes. The end of a connection that has no halves is its end.
func awaitReset(nc net.Conn) {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { // an error is that of the deadline, by which watch.stop ends the wait
		broken, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR) //nolint:gosec // G115: a descriptor
		return err != nil || broken != 0
	})
}
