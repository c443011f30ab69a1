package supervisor

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lsm/fiso/common/reload"
	"github.com/lsm/fiso/flow/spec"
)

// apply records what the last look at the files found, and updates the flows.
func (s *Supervisor) apply(owners context.Context, look reload.Look[Plan]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordListing(look.Err)
	for path, f := range s.files {
		f.absent = !look.Listed(path) && look.Err == nil
	}
	if changed := s.recordChanges(look); len(changed) > 0 || len(look.Changes) > 0 {
		s.commitValid(changed)
		s.updateFlows(owners)
	}
	s.removeDrained()
}

// recordListing records whether the files can be listed. While they cannot, no file counts as
// removed.
func (s *Supervisor) recordListing(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != s.listFault {
		s.o.Logger.Error("cannot list flow files", "error", err)
	}
	s.listFault = text
}

// changedFile is a file that may come into force, and its previous fault.
type changedFile struct {
	*file
	before string
}

// recordChanges stores the content of changed files and forgets removed files. It also retries
// files whose flow name was taken, because the owner of the name may be gone.
func (s *Supervisor) recordChanges(look reload.Look[Plan]) (changed []changedFile) {
	for _, c := range look.Changes {
		f := s.files[c.Path]
		switch {
		case c.Removed && f == nil: // its flow has moved to another file
			continue
		case c.Removed:
			delete(s.files, c.Path)
			s.forgetLabel(f)
			s.o.Logger.Info("flow file removed", "file", c.Path)
			continue
		case f == nil:
			f = &file{path: c.Path}
			s.files[c.Path] = f
		}
		changed = append(changed, changedFile{f, f.faultText()})
		f.set(c.Loaded)
	}
	for _, f := range s.sortedFiles() {
		// A file that is absent, or that was saved and is not loaded yet, claims no name.
		if f.nameTaken && look.Current(f.path) {
			changed = append(changed, changedFile{f, f.faultText()})
			f.set(f.loaded)
		}
	}
	return changed
}

// commitValid assigns the flow names and puts the valid files in force.
func (s *Supervisor) commitValid(changed []changedFile) {
	s.assignNames()
	for _, f := range changed {
		if s.files[f.path] != f.file { // its flow has moved to another file
			continue
		}
		if f.fault != nil {
			s.reportFault(f)
			continue
		}
		if f.before != "" {
			s.o.Logger.Info("flow file is valid again", "file", f.path)
			s.forgetLabel(f.file)
		}
		f.commit()
		s.o.Recorder.Valid(f.label(), true)
	}
}

// assignNames assigns each flow name to one file: see settleNames.
func (s *Supervisor) assignNames() {
	var claims []claim
	for _, f := range s.files {
		claims = append(claims, f.claim())
	}
	names := settleNames(claims)
	for path, owner := range names.refused {
		f := s.files[path]
		f.refuse(spec.Duplicate(f.next.Name(), owner, path))
	}
	for _, path := range names.moved {
		delete(s.files, path)
		s.follower.Forget(path)
	}
}

// forgetLabel deletes the gauge of a faulty file that never defined a flow and was labelled with
// its file name. The gauge of a flow with that name stays.
func (s *Supervisor) forgetLabel(f *file) {
	if f.inForce != nil || s.flows[f.label()] != nil {
		return
	}
	s.o.Recorder.Forget(f.label())
}

// reportFault reports that the content of a file is not in force, once for each fault.
func (s *Supervisor) reportFault(f changedFile) {
	s.o.Recorder.Valid(f.label(), false)
	if f.faultText() == f.before {
		return
	}
	s.o.Recorder.Reloaded(f.label(), false)
	effect := "the old version keeps running"
	if f.inForce == nil {
		effect = "the flow is not started"
	}
	s.o.Logger.Error("flow file is not valid", "file", f.path, "effect", effect, "error", f.fault)
	logPanic(s.o.Logger, f.fault)
}

// logPanic logs the stack if err was a panic.
func logPanic(log *slog.Logger, err error) {
	if p, ok := errors.AsType[*spec.Panic](err); ok {
		log.Error("recovered panic in flow", "error", err, "stack", p.Stack)
	}
}

// updateFlows sets the wanted plan of each flow, starts new flows, and removes flows that no file
// defines any more.
func (s *Supervisor) updateFlows(owners context.Context) {
	wanted := map[string]Plan{}
	for _, f := range s.files {
		if f.inForce != nil {
			wanted[f.inForce.Name()] = f.inForce
		}
	}
	var after []<-chan struct{}
	for name, fl := range s.flows {
		if _, stays := wanted[name]; !stays {
			s.o.Logger.Info("flow removed", "flow", name)
			fl.cancel()
			delete(s.flows, name)
			s.draining[name] = fl
			after = append(after, fl.done)
		}
	}
	for name, d := range wanted {
		if fl := s.flows[name]; fl != nil {
			if !samePlan(fl.wanted(), d) {
				fl.set(d)
			}
			continue
		}
		s.o.Logger.Info("flow added", "flow", name)
		fl := newFlow(name, d, nil, s.o)
		if old := s.draining[name]; old != nil {
			after = append(after, old.done)
		}
		s.flows[name] = fl
		fl.start(owners, after)
	}
}

// samePlan reports whether two plans have the same settings, even if they are written differently.
func samePlan(a, b Plan) bool {
	return a.SourceKey() == b.SourceKey() && a.VersionKey() == b.VersionKey() && a.Paused() == b.Paused()
}

// removeDrained forgets removed flows that have drained.
func (s *Supervisor) removeDrained() {
	for name, fl := range s.draining {
		select {
		case <-fl.done:
			delete(s.draining, name)
			if s.flows[name] == nil {
				s.o.Recorder.Forget(name)
			}
		default:
		}
	}
}
