package deadletter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/lsm/fiso/common/connector"
)

// File appends letters to a file, one JSON object a line. A letter is stored
// when it is synced to disk in the file that is then at path. Several processes
// may write to one file, and other programs may rename, delete or truncate it
// (logrotate): see store. Letters that are written during a sync share the next
// one.
type File struct {
	path string
	open func(path string) (disk, error)

	mu     sync.Mutex
	next   *syncGroup // collecting; nil when no Write waits
	closed bool

	writing chan struct{} // semaphore: guards the disk and the field below
	file    disk          // nil: to be opened
}

// syncGroup is letters that share one sync. The first of their writers that
// gets File.writing stores all of them.
type syncGroup struct {
	data   []byte
	stored bool // or failed with err; both guarded by File.writing
	err    error
}

// OpenFile opens or creates the file at path, readable by its owner only.
func OpenFile(path string) (*File, error) {
	f, err := openDisk(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, open: openDisk, file: f, writing: make(chan struct{}, 1)}, nil
}

// openDisk also syncs the directory: otherwise a crash could lose a file that
// was itself synced.
func openDisk(path string) (disk, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("open dead letter file: %s is not a regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open dead letter file: %w", err)
	}
	if err := errors.Join(lockable(f), syncDir(filepath.Dir(path))); err != nil {
		return nil, errors.Join(fmt.Errorf("open dead letter file %s: %w", path, err), f.Close())
	}
	return f, nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open its directory: %w", err)
	}
	defer func() { _ = dir.Close() }() // nothing was written
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync its directory: %w", err)
	}
	return nil
}

// Write implements Writer. Once the write to the disk has begun, Write waits
// for it, also if ctx ends: it cannot be undone.
func (w *File) Write(ctx context.Context, l *Letter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := encodeLine(l)
	if err != nil {
		return fmt.Errorf("write to %s: %w", w.path, err)
	}
	g, err := w.addToGroup(line)
	if err != nil {
		return err
	}
	select {
	case w.writing <- struct{}{}:
		defer func() { <-w.writing }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to take a dead letter: %w", w.path, ctx.Err())
	}
	if !g.stored {
		w.closeGroup(g)
		g.err = w.store(ctx, g.data)
		g.stored = true
	}
	return g.err
}

// addToGroup adds a line to the collecting group.
func (w *File) addToGroup(line []byte) (*syncGroup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, fmt.Errorf("write to %s: %w", w.path, connector.ErrClosed)
	}
	if w.next == nil {
		w.next = new(syncGroup)
	}
	w.next.data = append(w.next.data, line...)
	return w.next, nil
}

// closeGroup ends the collecting of a group.
func (w *File) closeGroup(g *syncGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == g {
		w.next = nil
	}
}

// Close implements Writer.
func (w *File) Close(ctx context.Context) error {
	select {
	case w.writing <- struct{}{}:
		defer func() { <-w.writing }()
	case <-ctx.Done():
		return fmt.Errorf("close %s: a write is still under way: %w", w.path, ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	if w.file == nil {
		return nil
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close dead letter file: %w", err)
	}
	return nil
}
