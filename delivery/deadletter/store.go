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

// disk is the part of *os.File that File uses.
type disk interface {
	io.Writer
	io.ReaderAt
	Stat() (os.FileInfo, error)
	Sync() error
	Truncate(size int64) error
	SyscallConn() (syscall.RawConn, error)
	Close() error
}

// lockRetryInterval is the time between two tries to lock a file that another
// process has locked, for the duration of a write and a sync.
const lockRetryInterval = time.Millisecond

// store appends data to the file at path and syncs it, under a lock.
//
// A program that rotates files takes no lock. So after the sync, store checks
// that the file is still the one at path and still contains the data. If not,
// it writes the data again, to the file that is at path now: a letter may then
// be in both files.
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

// lockNamed locks the file at path, which may have been replaced by a new one.
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
		_ = w.file.Close() // unlocks it; every stored letter in it is synced
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

// isNamedFile reports whether the open file is still the one at path, and has
// at least size bytes.
func (w *File) isNamedFile(size int64) (bool, error) {
	ours, err := w.file.Stat()
	if err != nil {
		return false, fmt.Errorf("stat %s: %w", w.path, err)
	}
	named, err := os.Stat(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("stat %s: %w", w.path, err)
	}
	return os.SameFile(ours, named) && ours.Size() >= size, nil
}

// appendLines appends whole lines to a locked file and syncs them, or leaves
// the file as it was. It returns the offset of their end. If a crash of another
// process left an unfinished line, that line is ended first; appendLines never
// cuts what others wrote.
//
// After a failed sync the kernel may drop the pages and report the next sync as
// a success. So lines that were not synced are cut off, and the caller writes
// them again.
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
	// Truncating to a size beyond the end would fill the file with NULs.
	if st, statErr := f.Stat(); statErr == nil && st.Size() > start {
		_ = f.Truncate(start) // if this fails, the next append ends the line
	}
	return 0, err
}
