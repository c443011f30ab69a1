package reload

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Follower follows files. Make one with New. Its methods are called by one goroutine
// at a time.
type Follower[T any] struct {
	o         Options[T]
	debouncer *debouncer
	files     map[string]*loadedFile
}

// loadedFile is the state of a file that was loaded.
type loadedFile struct {
	refs    []string // of the last loaded content
	good    []string // of the last content without an error
	retried sum      // the faulty content that was loaded once more
}

// Change is a file whose new content was loaded, or that was removed.
type Change[T any] struct {
	Path    string
	Removed bool
	Loaded[T]
}

// Look is the result of one check of all files.
type Look[T any] struct {
	Changes []Change[T]
	// Err says why the files cannot be listed.
	Err error

	contents map[string]bool // by path of a listed file: whether it is current
}

// Listed reports whether a file exists.
func (l Look[T]) Listed(path string) bool {
	_, there := l.contents[path]
	return there
}

// Current reports whether a file exists and its content is the one that was loaded
// last.
func (l Look[T]) Current(path string) bool { return l.contents[path] }

// New makes a Follower. It reads nothing before First.
func New[T any](o Options[T]) *Follower[T] {
	o = o.withDefaults()
	return &Follower[T]{o: o, debouncer: newDebouncer(o.Debounce, o.Absent), files: map[string]*loadedFile{}}
}

// First reads and loads all files at once, in order of their paths. It is called once,
// before any other method. If the files cannot be listed, it loads none.
func (f *Follower[T]) First(ctx context.Context) Look[T] {
	f.watch(ctx) // before the files are read, so that no change is missed
	contents, err := f.scan(ctx)
	look := Look[T]{Err: err, contents: map[string]bool{}}
	if err != nil {
		return look
	}
	for _, path := range slices.Sorted(maps.Keys(contents)) {
		look.Changes = append(look.Changes, f.load(ctx, path, contents[path]))
		look.contents[path] = true
	}
	f.watch(ctx)
	return look
}

// Run checks the files until ctx ends, and calls apply with each result.
func (f *Follower[T]) Run(ctx context.Context, apply func(Look[T])) {
	var events <-chan struct{}
	if f.o.Watcher != nil {
		events = f.o.Watcher.Changes()
	}
	next := time.Now().Add(f.o.Poll)
	timer := time.NewTimer(f.o.Poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if soon := time.Now().Add(f.o.Debounce); soon.Before(next) {
				next = soon
				timer.Reset(f.o.Debounce)
			}
		case <-timer.C:
			look, again := f.Look(ctx, time.Now())
			if ctx.Err() != nil {
				return
			}
			apply(look)
			wait := sooner(f.o.Poll, again)
			next = time.Now().Add(wait)
			timer.Reset(wait)
		}
	}
}

// loadBudget bounds how long one Look loads files. The next Look loads the rest, so
// that a saved file takes effect soon even while many large files are new.
const loadBudget = time.Second

// Look checks the files once, at the time now. It returns how long until the next
// check is needed (0: none is). The result is incomplete if ctx has ended.
func (f *Follower[T]) Look(ctx context.Context, now time.Time) (look Look[T], again time.Duration) {
	contents, err := f.scan(ctx)
	look = Look[T]{Err: err, contents: map[string]bool{}}
	if ctx.Err() != nil {
		return look, 0
	}
	sums := make(map[string]sum, len(contents))
	for path, c := range contents {
		sums[path] = c.whole()
	}
	due, again := f.debouncer.observe(now, sums, err == nil)
	// Small files first: loading a large one may take a second.
	slices.SortStableFunc(due, func(a, b event) int {
		return cmp.Compare(len(contents[a.path].data), len(contents[b.path].data))
	})
	begun := time.Now()
	for _, e := range due {
		if len(look.Changes) > 0 && time.Since(begun) >= loadBudget {
			again = time.Nanosecond
			break
		}
		if ctx.Err() != nil {
			return look, 0
		}
		if e.gone {
			f.Forget(e.path)
			look.Changes = append(look.Changes, Change[T]{Path: e.path, Removed: true})
			continue
		}
		look.Changes = append(look.Changes, f.load(ctx, e.path, contents[e.path]))
	}
	for path := range contents {
		look.contents[path] = f.debouncer.current(path, sums[path])
	}
	f.watch(ctx)
	return look, again
}

// Forget makes a file count as new when it is seen again.
func (f *Follower[T]) Forget(path string) {
	f.debouncer.forget(path)
	delete(f.files, path)
}

// Close closes the Watcher.
func (f *Follower[T]) Close() {
	if f.o.Watcher == nil {
		return
	}
	if err := f.askWatcher(context.Background(), f.o.Watcher.Close); err != nil {
		f.o.Logger.Warn("cannot close file watcher", "error", err)
	}
}

func (f *Follower[T]) scan(ctx context.Context) (map[string]content, error) {
	files, err := f.o.List(ctx)
	return scan(ctx, files, f.refs, f.o.Read), err
}

// refs returns the files that a file refers to, as far as they are known. They include
// those of its last good content, which the program still uses.
func (f *Follower[T]) refs(path string) []string {
	known := f.files[path]
	if known == nil {
		return nil
	}
	return slices.Concat(known.refs, known.good)
}

// load loads a content and records it as handled, with the references as Load read
// them.
func (f *Follower[T]) load(ctx context.Context, path string, c content) Change[T] {
	file := f.files[path]
	if file == nil {
		file = &loadedFile{}
		f.files[path] = file
	}
	loaded := f.o.Load(ctx, File{Path: path, Data: c.data, Err: c.err})
	read := c.refs
	c.refs = map[string]sum{}
	file.refs = slices.Concat(loaded.Refs, slices.Collect(maps.Keys(loaded.Texts)))
	if loaded.Err == nil {
		file.good = file.refs
	}
	for _, ref := range f.refs(path) {
		c.refs[ref] = read[ref]
		if text := loaded.Texts[ref]; text != "" {
			c.refs[ref] = sumOf(text)
		}
	}
	content := c.whole()
	f.debouncer.done(path, content)
	if loaded.Err != nil && c.refsRead && file.retried != content {
		file.retried = content
		f.debouncer.again(path, content)
	}
	return Change[T]{Path: path, Loaded: loaded}
}

// watch passes the current paths to the watcher. Polling finds changes of files that
// cannot be watched.
func (f *Follower[T]) watch(ctx context.Context) {
	if f.o.Watcher == nil {
		return
	}
	paths := slices.Clone(f.o.Dirs)
	for path := range f.files {
		paths = append(paths, f.refs(path)...)
	}
	if err := f.askWatcher(ctx, func() error { return f.o.Watcher.Watch(paths) }); err != nil {
		f.o.Logger.Debug("file watch failed", "error", err)
	}
}

// askWatcher calls the watcher, which accesses file systems. While one of these does
// not answer, the watcher is not called again.
func (f *Follower[T]) askWatcher(ctx context.Context, call func() error) error {
	_, err := config.WithFileTimeout(ctx, "watches of "+strings.Join(f.o.Dirs, ", "), func() (struct{}, error) { return struct{}{}, call() })
	return err
}
