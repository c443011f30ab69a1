//go:build !linux

package stdout

import "io"

// growPipe does nothing: only Linux lets a pipe's size be set.
func growPipe(io.Writer) {}
