//go:build !linux

package stdout

import "io"

// growPipe does nothing: only Linux can change the size of a pipe.
func growPipe(io.Writer) {}
