package supervisor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lsm/fiso/common/reload"
)

// file is one flow file and what it defines. The goroutine of Run alone writes
// it, under the lock.
type file struct {
	path      string
	def       Plan // in force; nil while the file was never valid
	next      Plan // of the new content, and not yet in force
	loaded    reload.Loaded[Plan]
	fault     error // why the content as it is is not in force
	nameTaken bool  // fault: another file owns the flow's name
	absent    bool  // it cannot be seen now, and does not count as removed yet
}

// set records what the content says: in next, or in fault.
func (f *file) set(l reload.Loaded[Plan]) {
	f.loaded, f.next, f.fault, f.nameTaken = l, l.Value, l.Err, false
}

// commit puts next in force.
func (f *file) commit() { f.def, f.next, f.fault = f.next, nil, nil }

// refuse records that another file owns the name of the new content.
func (f *file) refuse(err error) { f.next, f.fault, f.nameTaken = nil, err, true }

// claimedPlan is what the file says about flow names.
func (f *file) claimedPlan() claim {
	c := claim{path: f.path, absent: f.absent}
	if f.def != nil {
		c.held = f.def.Name()
	}
	if f.next != nil {
		c.wanted = f.next.Name()
	}
	return c
}

// label is the flow's name, or the file's while no flow is known of it.
func (f *file) label() string {
	if f.def != nil {
		return f.def.Name()
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

// fileError names the file in errors that do not do so themselves.
func fileError(path string, err error) error {
	if err == nil || strings.Contains(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
