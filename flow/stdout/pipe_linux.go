package stdout

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is the largest pipe that Linux allows to any user by default (fs.pipe-max-size). The
// default of 64 KiB holds two batches, so writer and reader would wait for each other at every
// batch.
const pipeSize = 1 << 20

// growPipe enlarges the pipe behind w, if w is a pipe. Errors are ignored, because a small pipe
// works too.
func growPipe(w io.Writer) {
	f, ok := w.(*os.File)
	if !ok {
		return
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		if have, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && have < pipeSize {
			_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize)
		}
	})
}
