package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/flow/spec"
)

// look reads the files once and acts upon what is to be believed. It returns
// when to look again (0: whenever). Files are read and understood without the
// lock, which Report takes: only what was found is noted under it.
func (s *Supervisor) look(ctx, owners context.Context, now time.Time) time.Duration {
	snap := s.scan(ctx)
	if ctx.Err() != nil {
		return 0
	}
	changes, again := s.book.observe(now, snap)
	loads := s.understand(ctx, changes)
	if ctx.Err() != nil {
		return 0
	}
	if later := changes[len(loads):]; len(later) > 0 {
		s.book.postpone(later)
		again = time.Nanosecond
	}
	s.apply(owners, snap, changes[:len(loads)], loads)
	s.watch(ctx)
	return again
}

// loadFor is how long a look goes on understanding files. What is left is for
// the next one, so that a save takes effect while many large files are new.
const loadFor = time.Second

// understand sorts the changes, small files first, and finds out what the first
// of them say, as many as there is time for.
func (s *Supervisor) understand(ctx context.Context, changes []change) (loads []loaded) {
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(len(a.data), len(b.data)) })
	for begun := time.Now(); len(loads) < len(changes) && ctx.Err() == nil; {
		if len(loads) > 0 && time.Since(begun) >= loadFor {
			break
		}
		var l loaded
		if c := changes[len(loads)]; !c.gone {
			l = s.load(ctx, c.file, c.content)
		}
		loads = append(loads, l)
	}
	return loads
}

// apply notes what a look has found, and tells the flows.
func (s *Supervisor) apply(owners context.Context, snap snapshot, changes []change, loads []loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listing(snap.err)
	for path, f := range s.files {
		_, there := snap.files[path]
		f.away = !there && snap.err == nil
	}
	if touched := s.touch(snap, changes, loads); len(touched) > 0 || len(changes) > 0 {
		s.take(touched)
		s.assign(owners)
	}
	s.reap()
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

// touched is a file that may come into force, and the fault that was last said
// of it.
type touched struct {
	*file
	before string
}

// touch notes what changed files say, forgets removed ones, and offers those
// anew whose name another file had: that one may have gone or changed.
func (s *Supervisor) touch(snap snapshot, changes []change, loads []loaded) (all []touched) {
	for i, c := range changes {
		f := s.files[c.file]
		switch {
		case c.gone && f == nil: // it was never understood
			continue
		case c.gone:
			delete(s.files, c.file)
			s.unlabel(f)
			s.o.Logger.Info("flow file was removed", "file", c.file)
			continue
		case f == nil:
			f = &file{path: c.file}
			s.files[c.file] = f
		}
		all = append(all, touched{f, faultText(f)})
		f.set(loads[i])
		s.retry(f, c)
	}
	for _, f := range s.sorted() {
		// A file that is away, or was saved anew and not yet read, has no claim.
		if c, there := snap.files[f.path]; f.contested && there && s.book.settled(f.path, c.sum) {
			all = append(all, touched{f, faultText(f)})
			f.contest()
		}
	}
	return all
}

// retry lets the next look load a faulty content once more whose files scan could
// read. Loading reads them again, and may have met one in the moment of its
// replacement; scan sees no difference then, which would make the fault stay.
func (s *Supervisor) retry(f *file, c change) {
	if f.read.err != nil && c.complete && f.retried != c.sum {
		f.retried = c.sum
		s.book.postpone([]change{c})
	}
}

func faultText(f *file) string {
	if f.fault == nil {
		return ""
	}
	return f.fault.Error()
}

// take settles which file owns which name, and puts in force what is valid.
func (s *Supervisor) take(all []touched) {
	s.settleNames()
	for _, f := range all {
		if s.files[f.path] != f.file { // its flow has moved to another file
			continue
		}
		if f.fault != nil {
			s.refuse(f.file, f.before)
			continue
		}
		if f.before != "" {
			s.o.Logger.Info("flow file is valid again", "file", f.path)
			s.unlabel(f.file)
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
				f.next, f.fault, f.contested = nil, spec.Duplicate(name, other.path, f.path), true
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
	return a.SourceKey() == b.SourceKey() && a.VersionKey() == b.VersionKey() && a.Paused() == b.Paused()
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
