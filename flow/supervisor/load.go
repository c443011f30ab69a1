package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/reload"
)

// load parses a flow file: see reload.Options. It is called without the lock.
func (s *Supervisor) load(ctx context.Context, f reload.File) (l reload.Loaded[Plan]) {
	if f.Err != nil {
		l.Err = fmt.Errorf("read flow file: %w", f.Err)
		return l
	}
	d, err := s.o.Load(f.Path, f.Data)
	if err != nil {
		l.Refs, l.Err = s.o.Refers(f.Path, f.Data), err
		return l
	}
	l.Refs = d.Files()
	for _, ref := range l.Refs {
		if err := s.checkReferenced(ctx, ref); err != nil {
			l.Err = fmt.Errorf("%s: cannot use a file that it refers to: %w", f.Path, err)
			return l
		}
	}
	l.Value = d
	return l
}

// checkReferenced refuses a referenced file that cannot be read or is empty: it is no secret,
// certificate or key.
func (s *Supervisor) checkReferenced(ctx context.Context, ref string) error {
	data, err := s.read(ctx, ref)
	if err == nil {
		s.found[ref] = true
		if len(bytes.TrimSpace(data)) == 0 {
			err = fmt.Errorf("%s %w", ref, config.ErrEmpty)
		}
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok && !s.found[ref] {
		// Do not show the path: users sometimes write the key itself in place of its file.
		return fmt.Errorf("%w: make the file readable, or correct its path, under a key such as caFile, keyFile or tokenFile", e.Err)
	}
	return err
}

func readFile(ctx context.Context, path string) ([]byte, error) {
	return config.ReadFile(ctx, path, config.MaxFile)
}
