package supervisor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// sum is the hash of a file's content and of the files it refers to.
type sum [sha256.Size]byte

// content is one flow file as it was read.
type content struct {
	data []byte
	err  error // it is listed, but cannot be read (a link before its target, a named pipe)
	sum  sum
	// complete: it refers to files, and all of them were read.
	complete bool
}

// snapshot is what stands in the configured places at one moment.
type snapshot struct {
	files map[string]content
	err   error // a directory is away or cannot be listed
}

// scan reads every flow file below the configured paths, and the further files
// that they refer to, whose contents count for their sums. It is called without
// the lock, since a file system may take seconds to answer.
func (s *Supervisor) scan(ctx context.Context) snapshot {
	snap := snapshot{files: map[string]content{}}
	var files, all []string
	for _, p := range s.o.Paths {
		found, err := spec.List(ctx, p)
		snap.err = errors.Join(snap.err, err)
		files = append(files, found...)
	}
	for _, f := range files {
		all = append(append(all, f), s.refs(f)...)
	}
	read := s.readAll(ctx, all)
	for _, f := range files {
		snap.files[f] = newContent(f, s.refs(f), read)
	}
	return snap
}

// refs are the files that a flow file refers to, as far as it was read.
func (s *Supervisor) refs(path string) []string {
	if f := s.files[path]; f != nil {
		return f.refs()
	}
	return nil
}

// reading is what a file holds, or why it cannot be read.
type reading struct {
	data []byte
	err  error
}

// readers bounds how many files are read at a time. There are several, so that
// files of a file system that does not answer are all given up together.
const readers = 16

// readAll reads each of the files once.
func (s *Supervisor) readAll(ctx context.Context, paths []string) map[string]reading {
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	all := make([]reading, len(paths))
	var (
		next atomic.Int64
		pool sync.WaitGroup
	)
	for range min(readers, len(paths)) {
		pool.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(paths); i = next.Add(1) - 1 {
				all[i].data, all[i].err = s.read(ctx, paths[i], config.MaxFile)
			}
		})
	}
	pool.Wait()
	read := map[string]reading{}
	for i, p := range paths {
		read[p] = all[i]
	}
	return read
}

func newContent(file string, refs []string, read map[string]reading) content {
	c := content{data: read[file].data, complete: len(refs) > 0 && read[file].err == nil}
	h := sha256.New()
	h.Write(c.data)
	if err := read[file].err; err != nil {
		c.err = fmt.Errorf("read flow file: %w", err)
		fmt.Fprintf(h, "\x00unreadable: %v", err)
	}
	for _, r := range refs {
		fmt.Fprintf(h, "\x00%s\x00", r)
		h.Write(read[r].data)
		if err := read[r].err; err != nil {
			fmt.Fprintf(h, "unreadable: %v", err)
			c.complete = false
		}
	}
	c.sum = sum(h.Sum(nil))
	return c
}

// sorted is the names of the files in order.
func (s snapshot) sorted() []string { return slices.Sorted(maps.Keys(s.files)) }
