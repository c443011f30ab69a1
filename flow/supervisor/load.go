package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// file is one flow file, and what became of it. The goroutine of Run alone
// writes it, under the lock.
type file struct {
	path      string
	def       Definition // in force; nil while the file was never valid
	next      Definition // read anew and not yet in force
	read      loaded     // what the content as it stands says
	fault     error      // why the file as it stands is not in force
	contested bool       // fault: another file has the flow's name
	retried   sum        // the content that was loaded once more: see retry
	away      bool       // it cannot be seen now, and is not yet taken as removed
}

// loaded is what the content of a flow file says. Each content, with those of
// the files that it refers to, is loaded once (but see retry): a faulty file may
// be large, and loading it may take seconds.
type loaded struct {
	def  Definition // nil: it is faulty
	refs []string   // the files it refers to, as far as that is known of a faulty one
	err  error
}

// load finds out what a content says. It is called without the lock.
func (s *Supervisor) load(ctx context.Context, path string, c content) loaded {
	if c.err != nil {
		return loaded{err: c.err}
	}
	d, err := s.o.Load(path, c.data)
	if err != nil {
		return loaded{refs: s.o.Refers(path, c.data), err: err}
	}
	l := loaded{refs: d.Files()}
	for _, ref := range l.refs {
		if err := s.usable(ctx, ref); err != nil {
			l.err = fmt.Errorf("%s: a file that it refers to cannot be used: %w", path, err)
			return l
		}
	}
	l.def = d
	return l
}

// usable refuses what is no secret, certificate or key: what cannot be read,
// and what is empty.
func (s *Supervisor) usable(ctx context.Context, ref string) error {
	data, err := s.read(ctx, ref, config.MaxFile)
	if err == nil {
		s.found[ref] = true
		if len(bytes.TrimSpace(data)) == 0 {
			err = fmt.Errorf("%s %w", ref, config.ErrEmpty)
		}
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok && !s.found[ref] {
		// The path is not shown: people write the key itself where its file is due.
		return fmt.Errorf("%w: make the file readable, or correct its path, under a key such as caFile, keyFile or tokenFile", e.Err)
	}
	return err
}

// set notes what a new content says: in next, or in fault.
func (f *file) set(l loaded) { f.read, f.next, f.fault, f.contested = l, l.def, l.err, false }

// contest offers the definition of a file that another one stood in the way of.
func (f *file) contest() { f.set(f.read) }

// commit puts next in force.
func (f *file) commit() { f.def, f.next, f.fault = f.next, nil, nil }

// claim is the definition that the file stands for.
func (f *file) claim() Definition {
	if f.next != nil {
		return f.next
	}
	return f.def
}

// label is the flow's name, or the file's while no flow is known of it.
func (f *file) label() string {
	if f.def != nil {
		return f.def.Name()
	}
	base := filepath.Base(f.path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// refs are the files that the definition in force refers to, and those of the
// content as it stands.
func (f *file) refs() []string {
	refs := slices.Clone(f.read.refs)
	if f.def != nil {
		refs = append(refs, f.def.Files()...)
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}
