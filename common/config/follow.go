package config

import (
	"os"
	"sync"
	"time"
)

// followed is a value made from files, made again when one of them changes.
// It is safe for concurrent use.
type followed[T any] struct {
	files []string
	load  func() (T, error)

	mu      sync.Mutex
	value   T
	stamps  []fileStamp
	checked time.Time
}

// follow makes the value for the first time.
func follow[T any](load func() (T, error), files ...string) (*followed[T], error) {
	f := &followed[T]{files: files, load: load, stamps: stamps(files), checked: time.Now()}
	var err error
	f.value, err = load()
	return f, err
}

// get is the value now. Files are looked at once a second at most. While a
// changed file does not hold what it should, which is so for a moment when two
// are replaced, the old value stays.
func (f *followed[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.checked) < recheck {
		return f.value
	}
	f.checked = now
	current := stamps(f.files)
	if equal(current, f.stamps) {
		return f.value
	}
	if value, err := f.load(); err == nil {
		f.value, f.stamps = value, current
	}
	return f.value
}

func stamps(files []string) []fileStamp {
	all := make([]fileStamp, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			all[i] = fileStamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

func equal(a, b []fileStamp) bool {
	for i := range a {
		if !a[i].mod.Equal(b[i].mod) || a[i].size != b[i].size {
			return false
		}
	}
	return true
}
