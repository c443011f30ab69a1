//go:build unix

package configtest

import "syscall"

// Pipe makes a named pipe. A reader must not open it, because that waits for a writer.
func Pipe(path string) error { return syscall.Mkfifo(path, 0o600) }
