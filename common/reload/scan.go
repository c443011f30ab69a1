package reload

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lsm/fiso/common/config"
)

// sum is a hash of a file's content, or of the error of reading it.
type sum [sha256.Size]byte

// reading is the content of a file, or the error of reading it.
type reading struct {
	data []byte
	err  error
	sum  sum
}

// content is a listed file with the files that it refers to.
type content struct {
	reading
	refs map[string]sum // the zero sum: the file was not read
	// refsRead: there are references, and all these files could be read.
	refsRead bool
}

// whole returns the sum of a file's content and of the files it refers to.
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

// scan reads the files and those that they refer to, as far as they are known.
func scan(ctx context.Context, files []string, refs func(string) []string, read func(context.Context, string) ([]byte, error)) map[string]content {
	var all []string
	for _, f := range files {
		all = append(append(all, f), refs(f)...)
	}
	readings := readAll(ctx, all, read)
	values := map[string]sum{} // of referred files, by path
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

// maxReaders bounds how many files are read at a time. It is more than one so that the
// files of a file system that does not answer time out together.
const maxReaders = 16

// readAll reads each file once.
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

// value returns the sum of a file that others refer to: see Loaded.Texts.
func (r reading) value() sum {
	if r.err != nil {
		return r.sum
	}
	return sumOf(string(r.data))
}

// sumOf returns the sum of a text, whether config.TrimValue was applied to it or not.
func sumOf(text string) sum { return sha256.Sum256([]byte(config.TrimValue(text))) }

func newReading(data []byte, err error) reading {
	if err != nil {
		return reading{err: err, sum: sha256.Sum256([]byte("\x00unreadable: " + err.Error()))}
	}
	return reading{data: data, sum: sha256.Sum256(data)}
}
