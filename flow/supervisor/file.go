package supervisor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lsm/fiso/common/reload"
)

// file is one flow file and its plan. Only the goroutine of Run writes it, with the lock held.
type file struct {
	path      string
	inForce   Plan // nil: the file was never valid
	next      Plan // from the new content, not yet in force
	loaded    reload.Loaded[Plan]
	fault     error // why the current content is not in force
	nameTaken bool  // fault: another file owns the flow's name
	absent    bool  // the file is missing, but does not count as removed yet
}

// set stores the plan or the fault of the new content.
func (f *file) set(l reload.Loaded[Plan]) {
	f.loaded, f.next, f.fault, f.nameTaken = l, l.Value, l.Err, false
}

// commit puts next in force.
func (f *file) commit() { f.inForce, f.next, f.fault = f.next, nil, nil }

// refuse records that another file owns the name of the new flow.
func (f *file) refuse(err error) { f.next, f.fault, f.nameTaken = nil, err, true }

// claim returns which flow names the file claims.
func (f *file) claim() claim {
	c := claim{path: f.path, absent: f.absent}
	if f.inForce != nil {
		c.held = f.inForce.Name()
	}
	if f.next != nil {
		c.wanted = f.next.Name()
	}
	return c
}

// label returns the flow name, or the file name if the file never defined a flow.
func (f *file) label() string {
	if f.inForce != nil {
		return f.inForce.Name()
	}
	base := filepath.Base(f.path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func (f *file) faultText() string {
	if f.fault == nil {
		return ""
	}
	return f.fault.Error()
}

func (s *Supervisor) sortedFiles() []*file {
	files := make([]*file, 0, len(s.files))
	for _, f := range s.files {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *file) int { return strings.Compare(a.path, b.path) })
	return files
}

// fileError adds the path to an error that does not contain it.
func fileError(path string, err error) error {
	if err == nil || strings.Contains(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
