package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// disk is what File needs of *os.File.
type disk interface {
	io.Writer
	io.ReaderAt
	Stat() (os.FileInfo, error)
	Sync() error
	Truncate(size int64) error
	SyscallConn() (syscall.RawConn, error)
	Close() error
}

// lockRetryInterval is the time between two tries to lock a file that another process
// has locked, which is for as long as a write and a sync take.
const lockRetryInterval = time.Millisecond

// store appends data to the file that has the name, and syncs it, under a lock.
//
// A program that rotates files asks for no lock. So once the data is synced,
// store looks whether the file still has the name and the data, and otherwise
// writes it again, to the file that has the name now: a letter may then stand
// in both, and is never in none.
func (w *File) store(ctx context.Context, data []byte) error {
	for {
		if err := w.lockNamed(ctx); err != nil {
			return err
		}
		end, err := appendLines(w.file, data)
		if err != nil {
			unlock(w.file)
			return fmt.Errorf("write to %s: %w", w.path, err)
		}
		kept, err := w.isNamedFile(end)
		unlock(w.file)
		if err != nil || kept {
			return err
		}
	}
}

// lockNamed locks the file that has the name, which may be a new one.
func (w *File) lockNamed(ctx context.Context) error {
	for {
		if w.file == nil {
			f, err := w.open(w.path)
			if err != nil {
				return err
			}
			w.file = f
		}
		if err := w.lock(ctx); err != nil {
			return err
		}
		kept, err := w.isNamedFile(0)
		if err != nil {
			unlock(w.file)
			return err
		}
		if kept {
			return nil
		}
		_ = w.file.Close() // it unlocks; all that counts in it is synced
		w.file = nil
	}
}

func (w *File) lock(ctx context.Context) error {
	for {
		locked, err := tryLock(w.file)
		if err != nil {
			return fmt.Errorf("lock %s: %w", w.path, err)
		}
		if locked {
			return nil
		}
		select {
		case <-time.After(lockRetryInterval):
		case <-ctx.Done():
			return fmt.Errorf("waiting for another process to unlock %s: %w", w.path, ctx.Err())
		}
	}
}

// isNamedFile reports whether the file has the name still, and at least size bytes.
func (w *File) isNamedFile(size int64) (bool, error) {
	ours, err := w.file.Stat()
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", w.path, err)
	}
	named, err := os.Stat(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", w.path, err)
	}
	return os.SameFile(ours, named) && ours.Size() >= size, nil
}

// appendLines appends whole lines to a locked file and syncs them, or leaves
// the file as it was. It returns where they end. A line that somebody's crash
// left unfinished gets its end first; what others wrote is never cut.
//
// After a sync that failed the kernel may forget the pages and call the next
// sync good, so what was not synced is cut off and written anew by whoever
// tries again.
func appendLines(f disk, lines []byte) (end int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	start := st.Size()
	if start > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], start-1); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read its last byte: %w", err)
		}
		if last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if _, err = f.Write(lines); err == nil {
		err = f.Sync()
	}
	if err == nil {
		return start + int64(len(lines)), nil
	}
	// Never to a size that the file no longer has: that would fill it up.
	if st, statErr := f.Stat(); statErr == nil && st.Size() > start {
		_ = f.Truncate(start) // else the next line begins with its end
	}
	return 0, err
}
