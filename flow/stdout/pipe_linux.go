package stdout

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is the size of a pipe: as much as Linux gives to any user
// (fs.pipe-max-size). With the usual 64 KiB, which is two batches, writer and
// reader wait for each other at every batch.
const pipeSize = 1 << 20

// growPipe enlarges the pipe behind w, if there is one. Errors are ignored: a small
// pipe works, too.
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
