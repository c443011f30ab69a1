package supervisor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/lsm/fiso/flow/spec"
)

// sum is the hash of a file's content and of the files it refers to.
type sum [sha256.Size]byte

// content is one flow file as it was read.
type content struct {
	data []byte
	err  error // it is listed, but cannot be read (a link before its target)
	sum  sum
}

// snapshot is what stands in the configured places at one moment.
type snapshot struct {
	files map[string]content
	err   error // a directory is away or cannot be listed
}

// scan reads every flow file below paths. refs names the further files that a
// flow file refers to; their content counts for its sum.
func scan(paths []string, refs func(file string) []string) snapshot {
	s := snapshot{files: map[string]content{}}
	for _, p := range paths {
		files, err := spec.List(p)
		if err != nil {
			s.err = errors.Join(s.err, err)
			continue
		}
		for _, f := range files {
			s.files[f] = read(f, refs(f))
		}
	}
	return s
}

func read(file string, refs []string) content {
	data, err := spec.Read(file)
	h := sha256.New()
	h.Write(data)
	if err != nil {
		fmt.Fprintf(h, "\x00unreadable: %v", err)
	}
	for _, r := range slices.Sorted(slices.Values(refs)) {
		fmt.Fprintf(h, "\x00%s\x00", r)
		hashFile(h, r)
	}
	return content{data: data, err: err, sum: sum(h.Sum(nil))}
}

// maxReferred bounds what is read of a file that a flow refers to.
const maxReferred = 64 << 20

func hashFile(h io.Writer, file string) {
	f, err := os.Open(file)
	if err != nil {
		fmt.Fprintf(h, "unreadable: %v", err)
		return
	}
	defer func() { _ = f.Close() }() // only read
	if _, err := io.Copy(h, io.LimitReader(f, maxReferred)); err != nil {
		fmt.Fprintf(h, "unreadable: %v", err)
	}
}

// sorted is the names of the files in order.
func (s snapshot) sorted() []string { return slices.Sorted(maps.Keys(s.files)) }
