package supervisor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// Supervisor owns the flows of an instance. Make one with New.
type Supervisor struct {
	o    Options
	book *book
	// read is config.ReadFile, but in tests.
	read func(ctx context.Context, path string, limit int64) ([]byte, error)
	// found are files that flows refer to and that could be read once.
	found map[string]bool

	// mu guards the rest: Run writes, Report reads. No file is read under it.
	mu      sync.Mutex
	files   map[string]*file
	flows   map[string]*flow
	leaving map[string]*flow // removed, and still draining
	away    string           // why the files cannot be listed
	phase   string           // starting, running, stopping
}

// New checks the options. Nothing is read and nothing runs before Run.
func New(o Options) (*Supervisor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Supervisor{
		o: o, book: newBook(o.Debounce, o.Poll), read: config.ReadFile, found: map[string]bool{}, phase: "starting",
		files: map[string]*file{}, flows: map[string]*flow{}, leaving: map[string]*flow{},
	}, nil
}

// Run starts all flows and keeps them as their files say, until ctx ends and
// every flow has drained, each within its own drain timeout. It returns an
// error at once, with the faults of all files, when a single one of them
// cannot be taken; then nothing was started. It is called once.
func (s *Supervisor) Run(ctx context.Context) error {
	if s.o.Watcher != nil {
		defer s.closeWatcher()
	}
	// The owners' context outlives ctx only until stop, so that all flows are
	// told to stop at the same moment and none is forgotten.
	owners, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	err := s.begin(ctx, owners)
	if ctx.Err() != nil && len(s.flows) == 0 {
		return nil // told to stop before anything ran
	}
	if err != nil {
		return err
	}
	s.follow(ctx, owners)
	s.setPhase("stopping")
	s.o.Logger.Info("stopping: flows drain")
	stop()
	s.wait()
	return nil
}

// begin takes all files or none.
func (s *Supervisor) begin(ctx, owners context.Context) error {
	s.watch(ctx) // before the first look, so that no change falls between
	snap := s.scan(ctx)
	if snap.err != nil {
		return snap.err
	}
	if len(snap.files) == 0 {
		return spec.NoFlow(strings.Join(s.o.Paths, ", "))
	}
	s.book.accept(snap)
	loads := map[string]loaded{}
	for _, path := range snap.sorted() {
		loads[path] = s.load(ctx, path, snap.files[path])
	}
	built, err := s.buildAll(s.note(loads))
	if err != nil {
		return err
	}
	s.launch(owners, built)
	s.watch(ctx)
	return nil
}

// note takes what all files say, and returns what is wrong with it.
func (s *Supervisor) note(loads map[string]loaded) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, l := range loads {
		f := &file{path: path}
		f.set(l)
		s.files[path] = f
	}
	s.settleNames()
	var faults []error
	for _, f := range s.sorted() {
		faults = append(faults, f.fault)
		logPanic(s.o.Logger, f.fault)
	}
	return faults
}

// launch puts all files in force and starts their flows.
func (s *Supervisor) launch(owners context.Context, built map[string]Pipeline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.sorted() {
		f.commit()
		s.o.Recorder.Valid(f.def.Name(), true)
		s.flows[f.def.Name()] = newFlow(f.def.Name(), f.def, built[f.def.Name()], s.o)
	}
	for _, fl := range s.flows {
		fl.start(owners, nil)
	}
	s.phase = "running"
}

// buildAll builds every flow that is not paused, if there is no fault yet, and
// closes what was built when there is one after all.
func (s *Supervisor) buildAll(faults []error) (map[string]Pipeline, error) {
	if err := joinFaults(faults); err != nil {
		return nil, err
	}
	built := map[string]Pipeline{}
	for _, f := range s.sorted() {
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

// follow looks at the files whenever the watcher speaks, and every Poll.
func (s *Supervisor) follow(ctx, owners context.Context) {
	var changes <-chan struct{}
	if s.o.Watcher != nil {
		changes = s.o.Watcher.Changes()
	}
	next := time.Now().Add(s.o.Poll)
	timer := time.NewTimer(s.o.Poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			if soon := time.Now().Add(s.o.Debounce); soon.Before(next) {
				next = soon
				timer.Reset(s.o.Debounce)
			}
		case <-timer.C:
			wait := sooner(s.o.Poll, s.look(ctx, owners, time.Now()))
			next = time.Now().Add(wait)
			timer.Reset(wait)
		}
	}
}

// wait returns once no flow runs any more. Each is bounded by itself.
func (s *Supervisor) wait() {
	s.mu.Lock()
	var all []*flow
	for _, f := range s.flows {
		all = append(all, f)
	}
	for _, f := range s.leaving {
		all = append(all, f)
	}
	s.mu.Unlock()
	for _, f := range all {
		<-f.done
	}
}

func (s *Supervisor) setPhase(p string) {
	s.mu.Lock()
	s.phase = p
	s.mu.Unlock()
}

// watch tells the watcher which files matter now. Polling covers for what it
// cannot watch.
func (s *Supervisor) watch(ctx context.Context) {
	if s.o.Watcher == nil {
		return
	}
	paths := append([]string(nil), s.o.Paths...)
	for _, f := range s.files {
		paths = append(paths, f.refs()...)
	}
	if err := s.watching(ctx, func() error { return s.o.Watcher.Watch(paths) }); err != nil {
		s.o.Logger.Debug("not everything can be watched: polling covers for it", "error", err)
	}
}

func (s *Supervisor) closeWatcher() {
	if err := s.watching(context.Background(), s.o.Watcher.Close); err != nil {
		s.o.Logger.Warn("close file watcher", "error", err)
	}
}

// watching calls the watcher, which asks file systems about their directories.
// While one does not answer, the watcher is not called again.
func (s *Supervisor) watching(ctx context.Context, call func() error) error {
	_, err := config.WithFileTimeout(ctx, "watches of "+s.o.Paths[0], func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// joinFaults makes one error of the faults of many files.
func joinFaults(errs []error) error {
	if all := spec.Faults("", errors.Join(errs...)); len(all) > 0 {
		return all
	}
	return nil
}
