package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/flow/spec"
)

// file is one flow file, and what became of it.
type file struct {
	path  string
	def   Definition // in force; nil while the file was never valid
	next  Definition // read anew and not yet in force
	fault error      // why the file as it stands is not in force
	tried time.Time  // when a faulty file was last read
	away  bool       // it cannot be seen now, and is not yet taken as removed
}

// load reads the content: into next, or into fault.
func (f *file) load(parse func(string, []byte) (Definition, error), c content) {
	f.next, f.fault = nil, c.err
	if c.err != nil {
		return
	}
	d, err := parse(f.path, c.data)
	if err != nil {
		f.fault = err
		return
	}
	f.next = d
}

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

func (f *file) refs() []string {
	if f.def == nil {
		return nil
	}
	return f.def.Files()
}

// look reads the files once and acts upon what is to be believed. It returns
// when to look again (0: whenever).
func (s *Supervisor) look(owners context.Context, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := scan(s.o.Paths, func(path string) []string {
		if f := s.files[path]; f != nil {
			return f.refs()
		}
		return nil
	})
	s.listing(snap.err)
	for path, f := range s.files {
		_, there := snap.files[path]
		f.away = !there && snap.err == nil
	}
	changes, again := s.book.observe(now, snap)
	changes = append(changes, s.secondTries(now, snap, changes)...)
	if len(changes) > 0 {
		s.take(changes, now)
		s.assign(owners)
	}
	s.reap()
	s.watch()
	return again
}

// listing notes whether the directories can be read. While one cannot, nothing
// is taken as removed.
func (s *Supervisor) listing(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != s.away {
		s.o.Logger.Error("flow files cannot be listed: all flows go on as they are", "error", err)
	}
	s.away = text
}

// secondTries names faulty files whose content did not change: what they refer
// to may be there by now.
func (s *Supervisor) secondTries(now time.Time, snap snapshot, changes []change) []change {
	var again []change
	for _, f := range s.sorted() {
		c, there := snap.files[f.path]
		if f.fault == nil || !there || now.Sub(f.tried) < s.o.Poll || !s.book.settled(f.path, c.sum) ||
			slices.ContainsFunc(changes, func(c change) bool { return c.file == f.path }) {
			continue
		}
		again = append(again, change{file: f.path, content: c})
	}
	return again
}

// take reads changed files and settles which file owns which name.
func (s *Supervisor) take(changes []change, now time.Time) {
	before := map[string]string{}
	for _, c := range changes {
		f := s.files[c.file]
		switch {
		case c.gone:
			delete(s.files, c.file)
			s.unlabel(f)
			s.o.Logger.Info("flow file was removed", "file", c.file)
			continue
		case f == nil:
			f = &file{path: c.file}
			s.files[c.file] = f
		}
		if f.fault != nil {
			before[c.file] = f.fault.Error()
		}
		f.tried = now
		f.load(s.o.Load, c.content)
	}
	s.settleNames()
	for _, c := range changes {
		f := s.files[c.file]
		if f == nil {
			continue
		}
		if f.fault != nil {
			s.refuse(f, before[c.file])
			continue
		}
		if before[c.file] != "" {
			s.o.Logger.Info("flow file is valid again", "file", f.path)
			s.unlabel(f)
		}
		f.commit()
		s.o.Recorder.Valid(f.label(), true)
	}
}

// unlabel drops the gauge of a faulty file that never stood for a flow, and so
// was known by the file's name. A flow of that name keeps its own.
func (s *Supervisor) unlabel(f *file) {
	if f.def != nil || s.flows[f.label()] != nil {
		return
	}
	s.o.Recorder.Forget(f.label())
}

// refuse says, once, that a file is not taken.
func (s *Supervisor) refuse(f *file, before string) {
	s.o.Recorder.Valid(f.label(), false)
	if f.fault.Error() == before {
		return
	}
	s.o.Recorder.Reloaded(f.label(), false)
	rest := "its flow goes on as it was"
	if f.def == nil {
		rest = "it starts no flow"
	}
	s.o.Logger.Error("flow file is not valid: "+rest, "file", f.path, "error", f.fault)
	logPanic(s.o.Logger, f.fault)
}

// logPanic logs the stack of an error that was a panic over a flow file.
func logPanic(log *slog.Logger, err error) {
	if p, ok := errors.AsType[*spec.Panic](err); ok {
		log.Error("recovered from a panic over a flow file", "error", err, "stack", p.Stack)
	}
}

// settleNames lets every name have one file. A file that stood for the name
// before keeps it; a changed one that claims it too is refused, unless the
// other is away, for then the flow has moved.
func (s *Supervisor) settleNames() {
	for again := true; again; {
		again = false
		owner := map[string]*file{}
		for _, f := range s.byClaim() {
			name := f.claim().Name()
			other := owner[name]
			switch {
			case other == nil:
			case other.away && other.next == nil:
				delete(s.files, other.path)
				s.book.drop(other.path)
			default:
				f.next, f.fault = nil, spec.Duplicate(name, other.path, f.path)
				again = true // it falls back to what it stood for, which may be another's by now
			}
			if again {
				break
			}
			owner[name] = f
		}
	}
}

// byClaim is the files that stand for a flow, those that did so before first.
func (s *Supervisor) byClaim() []*file {
	var old, changed []*file
	for _, f := range s.sorted() {
		switch {
		case f.next != nil && (f.def == nil || f.def.Name() != f.next.Name()):
			changed = append(changed, f)
		case f.claim() != nil:
			old = append(old, f)
		}
	}
	return append(old, changed...)
}

// assign tells each flow what is wanted of it, starts new ones and removes
// those that no file defines any more.
func (s *Supervisor) assign(owners context.Context) {
	wanted := map[string]Definition{}
	for _, f := range s.files {
		if f.def != nil {
			wanted[f.def.Name()] = f.def
		}
	}
	var after []<-chan struct{}
	for name, fl := range s.flows {
		if _, stays := wanted[name]; !stays {
			s.o.Logger.Info("flow is removed: it drains and stops", "flow", name)
			fl.cancel()
			delete(s.flows, name)
			s.leaving[name] = fl
			after = append(after, fl.done)
		}
	}
	for name, d := range wanted {
		if fl := s.flows[name]; fl != nil {
			if !same(fl.wanted(), d) {
				fl.set(d)
			}
			continue
		}
		s.o.Logger.Info("flow is added", "flow", name)
		fl := newFlow(name, d, nil, s.o)
		if old := s.leaving[name]; old != nil {
			after = append(after, old.done)
		}
		s.flows[name] = fl
		fl.start(owners, after)
	}
}

// same reports whether two definitions ask for the same, however they are
// written.
func same(a, b Definition) bool {
	return a.SourceKey() == b.SourceKey() && a.StageKey() == b.StageKey() && a.Paused() == b.Paused()
}

// reap lets go of removed flows that have drained.
func (s *Supervisor) reap() {
	for name, fl := range s.leaving {
		select {
		case <-fl.done:
			delete(s.leaving, name)
			if s.flows[name] == nil {
				s.o.Recorder.Forget(name)
			}
		default:
		}
	}
}

func (s *Supervisor) sorted() []*file {
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
