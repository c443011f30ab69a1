//go:build !linux

package stdout

import "io"

// widen does nothing: only Linux lets a pipe's size be set.
func widen(io.Writer) {}
