//go:build unix

package configtest

import "syscall"

// Pipe makes a named pipe, which a reader must not open: it would wait for a writer.
func Pipe(path string) error { return syscall.Mkfifo(path, 0o600) }
