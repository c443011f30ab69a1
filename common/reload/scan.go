package reload

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lsm/fiso/common/config"
)

// sum is a hash. That of a file that cannot be read is one of the reason.
type sum [sha256.Size]byte

// reading is what a file holds, or why it cannot be read.
type reading struct {
	data []byte
	err  error
	sum  sum
}

// content is a listed file with the files that it refers to.
type content struct {
	reading
	refs map[string]sum // the zero sum: it was not read
	// refsRead: it refers to files, and all of them could be read.
	refsRead bool
}

// whole is the sum of a file's content and those of the files it refers to.
func (c content) whole() sum {
	h := sha256.New()
	h.Write(c.sum[:])
	paths := make([]string, 0, len(c.refs))
	for path := range c.refs {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		name, ref := sha256.Sum256([]byte(path)), c.refs[path]
		h.Write(name[:])
		h.Write(ref[:])
	}
	return sum(h.Sum(nil))
}

// scan reads the files, and those that they refer to as far as that is known.
func scan(ctx context.Context, files []string, refs func(string) []string, read func(context.Context, string) ([]byte, error)) map[string]content {
	var all []string
	for _, f := range files {
		all = append(append(all, f), refs(f)...)
	}
	readings := readAll(ctx, all, read)
	values := map[string]sum{} // of files that are referred to
	contents := make(map[string]content, len(files))
	for _, f := range files {
		c := content{reading: readings[f], refs: map[string]sum{}}
		c.refsRead = c.err == nil
		for _, r := range refs(f) {
			if _, done := values[r]; !done {
				values[r] = readings[r].value()
			}
			c.refs[r] = values[r]
			c.refsRead = c.refsRead && readings[r].err == nil
		}
		c.refsRead = c.refsRead && len(c.refs) > 0
		contents[f] = c
	}
	return contents
}

// maxReaders bounds how many files are read at a time. There are several, so
// that the files of a file system that does not answer time out together.
const maxReaders = 16

// readAll reads each of the files once.
func readAll(ctx context.Context, paths []string, read func(context.Context, string) ([]byte, error)) map[string]reading {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	all := make([]reading, len(paths))
	var (
		next    atomic.Int64
		readers sync.WaitGroup
	)
	for range min(maxReaders, len(paths)) {
		readers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(paths); i = next.Add(1) - 1 {
				data, err := read(ctx, paths[i])
				all[i] = newReading(data, err)
			}
		})
	}
	readers.Wait()
	readings := make(map[string]reading, len(paths))
	for i, p := range paths {
		readings[p] = all[i]
	}
	return readings
}

// value is the sum of the file as others refer to it: see Loaded.Texts.
func (r reading) value() sum {
	if r.err != nil {
		return r.sum
	}
	return sumOf(string(r.data))
}

// sumOf is the sum of a text that config.TrimValue was applied to, or not yet.
func sumOf(text string) sum { return sha256.Sum256([]byte(config.TrimValue(text))) }

func newReading(data []byte, err error) reading {
	if err != nil {
		return reading{err: err, sum: sha256.Sum256([]byte("\x00unreadable: " + err.Error()))}
	}
	return reading{data: data, sum: sha256.Sum256(data)}
}
