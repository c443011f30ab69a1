package config

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"
	"time"
)

// recheck is how often, at most, a followed file is looked at.
const recheck = time.Second

// followed is a value made from the contents of files, and made again when one
// of them changes. It is safe for concurrent use.
type followed[T any] struct {
	files []string
	make  func(contents [][]byte) (T, error)

	// looking is held while the files are read, which may take as long as a
	// file system takes to answer. Meanwhile others get the value of before.
	looking sync.Mutex
	sum     [sha256.Size]byte // of what value was made of; guarded by looking

	mu      sync.Mutex // guards the rest
	value   T          // the last one that could be made
	made    bool       // there is one
	err     error      // why the files hold none now
	since   time.Time  // when err was seen first
	checked time.Time
}

// follow makes the value for the first time.
func follow[T any](make func(contents [][]byte) (T, error), files ...string) (*followed[T], error) {
	f := &followed[T]{files: files, make: make}
	_, err := f.now()
	return f, err
}

// last is the value of the files, or the last one that they held: they do not
// hold what they should for a moment while two are replaced, and until somebody
// mends it after a mistake.
func (f *followed[T]) last() (T, error) { return f.within(math.MaxInt64) }

// now is the value of the files, or why they hold none.
func (f *followed[T]) now() (T, error) { return f.within(0) }

// within is the value of the files, or the one that they held so long ago at
// most, or why they hold none.
func (f *followed[T]) within(grace time.Duration) (T, error) {
	f.refresh()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && (!f.made || time.Since(f.since) >= grace) {
		var none T
		return none, f.err
	}
	return f.value, nil
}

// refresh looks at the files, once a second at most.
func (f *followed[T]) refresh() {
	fresh, made := f.state()
	switch {
	case fresh:
		return
	case !made:
		f.looking.Lock()
	case !f.looking.TryLock():
		return
	}
	defer f.looking.Unlock()
	if fresh, _ = f.state(); fresh {
		return
	}
	contents, err := f.read()
	if err != nil {
		f.note(err)
		return
	}
	h := sha256.New()
	for _, c := range contents {
		part := sha256.Sum256(c)
		h.Write(part[:])
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if made && sum == f.sum {
		f.note(nil)
		return
	}
	value, err := f.make(contents)
	if err == nil {
		f.sum = sum
		f.mu.Lock()
		f.value, f.made = value, true
		f.mu.Unlock()
	}
	f.note(err)
}

func (f *followed[T]) read() ([][]byte, error) {
	contents := make([][]byte, len(f.files))
	for i, file := range f.files {
		var err error
		if contents[i], err = ReadFile(context.Background(), file, MaxFile); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

func (f *followed[T]) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.err == nil {
		f.since = now
	}
	f.err, f.checked = err, now
}

// state reports whether the files need no look, and whether there is a value.
func (f *followed[T]) state() (fresh, made bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh = f.made && len(f.files) == 0 || !f.checked.IsZero() && time.Since(f.checked) < recheck
	return fresh, f.made
}
