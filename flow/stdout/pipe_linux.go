package stdout

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// room is what a pipe may hold that nobody has read yet: as much as Linux gives
// to anybody (fs.pipe-max-size). The usual 64 KiB are two batches, and have the
// writer and the reader wait for each other at every one.
const room = 1 << 20

// widen gives w more room where it is a pipe. It is fast without, so no error
// is one.
func widen(w io.Writer) {
	f, ok := w.(*os.File)
	if !ok {
		return
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		if have, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && have < room {
			_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, room)
		}
	})
}
