package supervisor

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/lsm/fiso/common/reload"
	"github.com/lsm/fiso/flow/spec"
)

// Supervisor owns the flows of an instance. Create one with New.
type Supervisor struct {
	o        Options
	follower *reload.Follower[Plan]
	// read is readFile; tests replace it.
	read func(ctx context.Context, path string) ([]byte, error)
	// found are the referenced files that could be read at least once.
	found map[string]bool

	// mu guards the fields below: Run writes them, Report reads them. Do not read files while
	// holding it.
	mu        sync.Mutex
	files     map[string]*file
	flows     map[string]*flow
	draining  map[string]*flow // removed, and still draining
	listFault string           // why the files cannot be listed
	state     string           // starting, running, stopping
}

// New checks the options. It reads no file and starts nothing.
func New(o Options) (*Supervisor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		o: o, read: readFile, found: map[string]bool{}, state: "starting",
		files: map[string]*file{}, flows: map[string]*flow{}, draining: map[string]*flow{},
	}
	s.follower = reload.New(reload.Options[Plan]{
		List: s.list, Load: s.load, Dirs: o.Paths, Watcher: o.Watcher, Debounce: o.Debounce, Poll: o.Poll, Logger: o.Logger,
		Read: func(ctx context.Context, path string) ([]byte, error) { return s.read(ctx, path) },
	})
	return s, nil
}

// Run starts all flows and applies changes of their files until ctx ends, and returns when every
// flow has drained within its drain timeout. If a file is not valid or a flow cannot be built, Run
// starts no flow and returns the faults of all files. Call Run once.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.follower.Close()
	// The context of the owners ends at stop, not with ctx: all flows then stop at the same
	// moment, also those that were just added.
	owners, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	err := s.startAll(ctx, owners)
	if ctx.Err() != nil && len(s.flows) == 0 {
		return nil // stopped before a flow was started
	}
	if err != nil {
		return err
	}
	s.follower.Run(ctx, func(look reload.Look[Plan]) { s.apply(owners, look) })
	s.setPhase("stopping")
	s.o.Logger.Info("draining flows")
	stop()
	s.wait()
	return nil
}

// list returns the flow files of all configured paths.
func (s *Supervisor) list(ctx context.Context) (files []string, err error) {
	for _, p := range s.o.Paths {
		found, fault := spec.List(ctx, p)
		files, err = append(files, found...), errors.Join(err, fault)
	}
	return files, err
}

// startAll starts the flows of all files, or none if there is a fault.
func (s *Supervisor) startAll(ctx, owners context.Context) error {
	look := s.follower.First(ctx)
	if look.Err != nil {
		return look.Err
	}
	if len(look.Changes) == 0 {
		return spec.NoFlow(strings.Join(s.o.Paths, ", "))
	}
	built, err := s.buildAll(s.recordFirst(look.Changes))
	if err != nil {
		return err
	}
	s.startFlows(owners, built)
	return nil
}

// recordFirst records all files and returns their faults.
func (s *Supervisor) recordFirst(changes []reload.Change[Plan]) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		f := &file{path: c.Path}
		f.set(c.Loaded)
		s.files[c.Path] = f
	}
	s.assignNames()
	var faults []error
	for _, f := range s.sortedFiles() {
		faults = append(faults, f.fault)
		logPanic(s.o.Logger, f.fault)
	}
	return faults
}

// startFlows puts all files in force and starts their flows.
func (s *Supervisor) startFlows(owners context.Context, built map[string]Pipeline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.sortedFiles() {
		f.commit()
		s.o.Recorder.Valid(f.inForce.Name(), true)
		s.flows[f.inForce.Name()] = newFlow(f.inForce.Name(), f.inForce, built[f.inForce.Name()], s.o)
	}
	for _, fl := range s.flows {
		fl.start(owners, nil)
	}
	s.state = "running"
}

// buildAll builds every flow that is not paused. If there is a fault, it closes what it built and
// returns the faults.
func (s *Supervisor) buildAll(faults []error) (map[string]Pipeline, error) {
	if err := joinFaults(faults); err != nil {
		return nil, err
	}
	built := map[string]Pipeline{}
	for _, f := range s.sortedFiles() {
		if f.next.Paused() {
			continue
		}
		p, err := f.next.Build()
		if err != nil {
			faults = append(faults, fileError(f.path, err))
			logPanic(s.o.Logger, err)
			continue
		}
		built[f.next.Name()] = p
	}
	err := joinFaults(faults)
	if err != nil {
		for _, p := range built {
			p.Close()
		}
	}
	return built, err
}

// wait returns when no flow runs any more. Each flow limits its own time to stop.
func (s *Supervisor) wait() {
	s.mu.Lock()
	var all []*flow
	for _, f := range s.flows {
		all = append(all, f)
	}
	for _, f := range s.draining {
		all = append(all, f)
	}
	s.mu.Unlock()
	for _, f := range all {
		<-f.done
	}
}

func (s *Supervisor) setPhase(p string) {
	s.mu.Lock()
	s.state = p
	s.mu.Unlock()
}

// joinFaults joins the faults of several files to one error.
func joinFaults(errs []error) error {
	if all := spec.Faults("", errors.Join(errs...)); len(all) > 0 {
		return all
	}
	return nil
}
