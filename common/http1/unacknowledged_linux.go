package http1

import "golang.org/x/sys/unix"

// unacknowledged is how many bytes of what was written the other side has not
// acknowledged; 0 where that is not known.
func unacknowledged(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
