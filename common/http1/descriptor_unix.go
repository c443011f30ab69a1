//go:build unix

package http1

import "syscall"

// hasDescriptors reports whether sockets can be read and written without waiting.
const hasDescriptors = true

func readDescriptor(fd uintptr, p []byte) (int, error) {
	return syscall.Read(int(fd), p) //nolint:gosec,wrapcheck // G115: a descriptor, which does not block
}

func writeDescriptor(fd uintptr, p []byte) (int, error) {
	return syscall.Write(int(fd), p) //nolint:gosec,wrapcheck // G115: a descriptor
}
