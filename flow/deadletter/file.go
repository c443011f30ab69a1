package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/lsm/fiso/common/connector"
)

// disk is what File needs of *os.File.
type disk interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// File appends letters to a file, one JSON object a line, and counts a letter
// as stored only when it is synced to disk. Writers that come while a sync is
// under way share the next one.
type File struct {
	path string

	mu     sync.Mutex
	next   *group // collecting; nil when nobody waits
	closed bool

	turn chan struct{} // held by whoever touches the disk, and what is below
	file disk
	size int64 // of what is known to be on disk
	torn bool  // something may stand behind size, and must go first
}

// group is the letters that share one sync. The first of their writers to get
// its turn stores all of them.
type group struct {
	data   []byte
	stored bool // or failed with err; both belong to who has the turn
	err    error
}

// OpenFile opens or makes the file at path, readable by its owner only. A last
// line that a crash left unfinished is cut off: it was never counted.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open dead letter file: %w", err)
	}
	size, err := prepare(f, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open dead letter file %s: %w", path, err), f.Close())
	}
	return newFile(path, f, size), nil
}

func newFile(path string, f disk, size int64) *File {
	return &File{path: path, file: f, size: size, turn: make(chan struct{}, 1)}
}

// prepare cuts a torn last line, and makes the file's name durable: without a
// sync of the directory a crash can lose a file that was itself synced.
func prepare(f *os.File, path string) (int64, error) {
	whole, end, err := lastLine(f)
	if err != nil {
		return 0, err
	}
	if whole < end {
		if err := f.Truncate(whole); err != nil {
			return 0, fmt.Errorf("cut the torn last line: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("sync: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return 0, fmt.Errorf("open its directory: %w", err)
	}
	defer func() { _ = dir.Close() }() // opened to sync, nothing was written
	if err := dir.Sync(); err != nil {
		return 0, fmt.Errorf("sync its directory: %w", err)
	}
	return whole, nil
}

// lastLine is where the last whole line ends, and where the file does.
func lastLine(f *os.File) (whole, end int64, err error) {
	end, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, fmt.Errorf("find its end: %w", err)
	}
	buf := make([]byte, 64<<10)
	for at := end; at > 0; {
		n := min(int64(len(buf)), at)
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return 0, 0, fmt.Errorf("read its last line: %w", err)
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] == '\n' {
				return at + i + 1, end, nil
			}
		}
	}
	return 0, end, nil
}

// Write implements Writer. A disk that hangs is not left alone before it
// answers: what it holds cannot be taken back.
func (w *File) Write(ctx context.Context, l *Letter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := encodeLine(l)
	if err != nil {
		return fmt.Errorf("write to %s: %w", w.path, err)
	}
	g, err := w.join(line)
	if err != nil {
		return err
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to take a dead letter: %w", w.path, ctx.Err())
	}
	if !g.stored {
		w.part(g)
		g.err = w.store(g.data)
		g.stored = true
	}
	return g.err
}

// join adds a line to the group that is collecting.
func (w *File) join(line []byte) (*group, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, fmt.Errorf("write to %s: %w", w.path, connector.ErrClosed)
	}
	if w.next == nil {
		w.next = new(group)
	}
	w.next.data = append(w.next.data, line...)
	return w.next, nil
}

// part closes a group to newcomers.
func (w *File) part(g *group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == g {
		w.next = nil
	}
}

// store appends data and syncs it, or leaves the file as it was. After a sync
// that failed the kernel may forget the pages and call the next sync good, so
// what was not synced is cut off and written anew by whoever tries again.
func (w *File) store(data []byte) error {
	if w.torn {
		if err := w.file.Truncate(w.size); err != nil {
			return fmt.Errorf("cut what a failed write left in %s: %w", w.path, err)
		}
		w.torn = false
	}
	_, err := w.file.Write(data)
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		w.size += int64(len(data))
		return nil
	}
	err = fmt.Errorf("write to %s: %w", w.path, err)
	w.torn = true
	if cut := w.file.Truncate(w.size); cut == nil {
		w.torn = false
	}
	return err
}

// Close implements Writer.
func (w *File) Close(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return fmt.Errorf("close %s: a write is still under way: %w", w.path, ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close dead letter file: %w", err)
	}
	return nil
}
