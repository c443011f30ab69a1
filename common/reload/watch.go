package reload

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Watcher signals that something may have changed. It may miss a change and may report
// one that did not happen, because a Follower compares contents and also polls.
type Watcher interface {
	// Watch replaces the set of watched files and directories. It is called often with the
	// same paths; a path that does not exist now is tried again then.
	Watch(paths []string) error
	// Changes returns a channel with capacity one that is never closed.
	Changes() <-chan struct{}
	// Close ends the watcher's goroutine.
	Close() error
}

// dirWatcher watches directories, never single files: an editor replaces a file by a
// rename, Kubernetes replaces a whole directory by its ..data link, and a watch on the
// old file gets no more events (https://github.com/open-feature/flagd/issues/42).
type dirWatcher struct {
	notify  *fsnotify.Watcher
	changes chan struct{}
	done    chan struct{}

	mu   sync.Mutex
	dirs map[string]os.FileInfo // what is watched, with its file info when it was added
}

// NewWatcher returns the Watcher of the real file system.
func NewWatcher(log *slog.Logger) (Watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &dirWatcher{notify: n, changes: make(chan struct{}, 1), done: make(chan struct{}), dirs: map[string]os.FileInfo{}}
	go w.listen(log)
	return w, nil
}

// listen owns the goroutine, which ends when the notifier is closed.
func (w *dirWatcher) listen(log *slog.Logger) {
	defer close(w.done)
	for {
		select {
		case _, ok := <-w.notify.Events:
			if !ok {
				return
			}
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			log.Debug("file watcher failed", "error", err)
		}
		select {
		case w.changes <- struct{}{}:
		default: // a signal is pending already
		}
	}
}

func (w *dirWatcher) Changes() <-chan struct{} { return w.changes }

func (w *dirWatcher) Watch(paths []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := map[string]os.FileInfo{}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || !info.IsDir() {
			p = filepath.Dir(p)
			info, err = os.Stat(p)
		}
		if err == nil && info.IsDir() {
			want[filepath.Clean(p)] = info
		}
	}
	var errs []error
	alive := w.notify.WatchList() // without removed directories
	for dir, was := range w.dirs {
		// A directory of the same name may be a new one.
		if now, ok := want[dir]; !ok || !os.SameFile(was, now) || !slices.Contains(alive, dir) {
			if err := w.notify.Remove(dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
				errs = append(errs, err)
			}
			delete(w.dirs, dir)
		}
	}
	for dir, info := range want {
		if _, ok := w.dirs[dir]; ok {
			continue
		}
		switch err := w.notify.Add(dir); {
		case err == nil:
			w.dirs[dir] = info
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w *dirWatcher) Close() error {
	err := w.notify.Close()
	<-w.done
	return err
}
