package config

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"
	"time"
)

// checkInterval is how often a followed file is checked at most.
const checkInterval = time.Second

// followed is a value made from files, and made again when one of them changes. It is safe for
// concurrent use.
type followed[T any] struct {
	files []string
	make  func(contents [][]byte) (T, error)

	// reading is held while the files are read. A file system may answer slowly; meanwhile other
	// callers get the previous value.
	reading sync.Mutex
	sum     [sha256.Size]byte // of the contents that value was made from; guarded by reading

	mu      sync.Mutex // guards the rest
	value   T          // the last good value
	made    bool       // there is a value
	err     error      // why the files now hold no value
	since   time.Time  // since when there is an error
	checked time.Time
}

// newFollowed reads the files and makes the first value.
func newFollowed[T any](make func(contents [][]byte) (T, error), files ...string) (*followed[T], error) {
	f := &followed[T]{files: files, make: make}
	_, err := f.current()
	return f, err
}

// lastGood returns the value of the files, or the last good one: files may be faulty while two
// of them are being replaced, or until a person corrects a mistake.
func (f *followed[T]) lastGood() (T, error) { return f.valueNotOlder(math.MaxInt64) }

// current returns the value of the files, or an error if they hold none.
func (f *followed[T]) current() (T, error) { return f.valueNotOlder(0) }

// valueNotOlder returns the value of the files, or the last good one if the files became faulty
// less than grace ago.
func (f *followed[T]) valueNotOlder(grace time.Duration) (T, error) {
	f.refresh()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && (!f.made || time.Since(f.since) >= grace) {
		var none T
		return none, f.err
	}
	return f.value, nil
}

// refresh reads the files, at most once a second.
func (f *followed[T]) refresh() {
	fresh, made := f.freshness()
	switch {
	case fresh:
		return
	case !made:
		f.reading.Lock()
	case !f.reading.TryLock():
		return
	}
	defer f.reading.Unlock()
	if fresh, _ = f.freshness(); fresh {
		return
	}
	contents, err := f.read()
	if err != nil {
		f.setError(err)
		return
	}
	h := sha256.New()
	for _, c := range contents {
		part := sha256.Sum256(c)
		h.Write(part[:])
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if made && sum == f.sum {
		f.setError(nil)
		return
	}
	value, err := f.make(contents)
	if err == nil {
		f.sum = sum
		f.mu.Lock()
		f.value, f.made = value, true
		f.mu.Unlock()
	}
	f.setError(err)
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

func (f *followed[T]) setError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.err == nil {
		f.since = now
	}
	f.err, f.checked = err, now
}

// freshness reports whether the files need no check yet, and whether there is a value.
func (f *followed[T]) freshness() (fresh, made bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh = f.made && len(f.files) == 0 || !f.checked.IsZero() && time.Since(f.checked) < checkInterval
	return fresh, f.made
}
