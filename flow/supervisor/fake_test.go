package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is shared by the fakes of one test: the history of calls, and the faults to inject.
type world struct {
	mu      sync.Mutex
	history []string
	running map[string]int // active pipelines by flow
	faults  map[string]func(ctx context.Context) error
	status  map[string]Status
	valid   map[string]bool
	reloads map[string]int
	logs    strings.Builder
	forgot  []string
	loads   map[string]int // how often each content was loaded
}

func newWorld() *world {
	return &world{
		running: map[string]int{}, faults: map[string]func(context.Context) error{},
		status: map[string]Status{}, valid: map[string]bool{}, reloads: map[string]int{},
		loads: map[string]int{},
	}
}

func (w *world) log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

// fault makes a step ("build orders", "run orders", "swap orders", "drain orders") call f; nil:
// the step succeeds.
func (w *world) fault(step string, f func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[step] = f
}

func (w *world) step(ctx context.Context, step string) error {
	w.mu.Lock()
	f := w.faults[step]
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx)
}

// takeHistory returns the history since the last call.
func (w *world) takeHistory() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history
	w.history = nil
	return h
}

func (w *world) Reloaded(flow string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reloads[fmt.Sprintf("%s %v", flow, ok)]++
}

func (w *world) Valid(flow string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.valid[flow] = ok
}

func (w *world) Forget(flow string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgot = append(w.forgot, flow)
}

// forgotten returns the names whose gauges were deleted since the last call, in order.
func (w *world) forgotten() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := strings.Join(w.forgot, " ")
	w.forgot = nil
	return names
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.Write(p)
}

func (w *world) logged(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.logs.String(), text)
}

func (w *world) isValid(flow string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.valid[flow]
}

// counted returns how often a reload was counted; what is "flow outcome".
func (w *world) counted(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reloads[what]
}

// def is a fake plan, parsed from a line such as "orders source=a stage=b paused refs=/x".
type def struct {
	w                   *world
	name, source, stage string
	paused              bool
	refs                []string
}

func (w *world) load(file string, data []byte) (Plan, error) {
	w.mu.Lock()
	w.loads[string(data)]++
	w.mu.Unlock()
	if err := w.step(context.Background(), "load "+filepath.Base(file)); err != nil {
		return nil, err
	}
	words := strings.Fields(string(data))
	if len(words) == 0 {
		return nil, fmt.Errorf("%s:1:1: the file is empty", file)
	}
	if err := w.step(context.Background(), "load"); err != nil {
		return nil, err
	}
	d := &def{w: w, name: words[0]}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "source":
			d.source = value
		case "stage":
			d.stage = value
		case "paused":
			d.paused = true
		case "watches": // compared by its path, like a secret
			d.refs = append(d.refs, value)
		case "refs":
			d.refs = append(d.refs, value)
			text, err := os.ReadFile(value)
			if err != nil {
				return nil, fmt.Errorf("%s:1:1: %w", file, err)
			}
			d.source += string(text)
		default:
			return nil, fmt.Errorf("%s:1:1: unknown key %q", file, key)
		}
	}
	return d, nil
}

// refers returns the references of a file that load refuses.
func (w *world) refers(_ string, data []byte) (refs []string) {
	for _, word := range strings.Fields(string(data)) {
		if ref, ok := strings.CutPrefix(word, "refs="); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

// loaded returns how often a content was loaded.
func (w *world) loaded(content string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loads[content]
}

func (d *def) Name() string                { return d.name }
func (d *def) Paused() bool                { return d.paused }
func (d *def) Files() []string             { return d.refs }
func (d *def) SourceKey() string           { return d.source }
func (d *def) VersionKey() string          { return d.stage }
func (d *def) DrainTimeout() time.Duration { return 20 * time.Second }
func (d *def) String() string              { return d.name + "/" + d.source + "/" + d.stage }

func (d *def) Build() (Pipeline, error) {
	if err := d.w.step(context.Background(), "build "+d.name); err != nil {
		return nil, err
	}
	return &pipe{w: d.w, d: d}, nil
}

// pipe is a fake pipeline. It records a failure if two pipelines of one flow run at the same time.
type pipe struct {
	w *world
	d *def
}

func (p *pipe) Run(ctx context.Context) error {
	p.w.mu.Lock()
	p.w.running[p.d.name]++
	if p.w.running[p.d.name] > 1 {
		p.w.history = append(p.w.history, "TWO RUN: "+p.d.name)
	}
	p.w.mu.Unlock()
	p.w.log("run %v", p.d)
	defer func() {
		p.w.mu.Lock()
		p.w.running[p.d.name]--
		p.w.mu.Unlock()
	}()
	if err := p.w.step(ctx, "run "+p.d.name); err != nil {
		p.w.log("fell %v", p.d)
		return err
	}
	<-ctx.Done()
	err := p.w.step(ctx, "drain "+p.d.name)
	p.w.log("drained %v", p.d)
	return err
}

func (p *pipe) Swap(ctx context.Context, next Plan) error {
	if err := p.w.step(ctx, "swap "+p.d.name); err != nil {
		return err
	}
	p.d = next.(*def)
	p.w.log("swapped %v", p.d)
	return nil
}

func (p *pipe) Status() Status {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.status[p.d.name]
}

func (p *pipe) Close() { p.w.log("closed %v", p.d) }

// fakeWatcher notifies when the test asks for it.
type fakeWatcher struct {
	changes chan struct{}
	mu      sync.Mutex
	paths   []string
	err     error
}

func newFakeWatcher() *fakeWatcher { return &fakeWatcher{changes: make(chan struct{}, 1)} }

func (f *fakeWatcher) Watch(paths []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths = slices.Clone(paths)
	return f.err
}
func (f *fakeWatcher) Changes() <-chan struct{} { return f.changes }
func (f *fakeWatcher) Close() error             { return f.err }
func (f *fakeWatcher) watched() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.paths, " ")
}
func (f *fakeWatcher) speak() {
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

// instance is a supervisor under test on a real directory, in a synctest bubble.
type instance struct {
	*world
	t       *testing.T
	dir     string
	watcher *fakeWatcher
	s       *Supervisor
	stop    context.CancelFunc
	ended   chan error
}

// start runs a supervisor on files, which alternate name and content.
func start(t *testing.T, dir string, files ...string) *instance {
	t.Helper()
	return startWith(t, dir, func(*Supervisor) {}, files...)
}

// startWith is start, with a change to the supervisor before it runs.
func startWith(t *testing.T, dir string, change func(*Supervisor), files ...string) *instance {
	t.Helper()
	in := &instance{world: newWorld(), t: t, dir: dir, watcher: newFakeWatcher(), ended: make(chan error, 1)}
	for i := 0; i < len(files); i += 2 {
		in.put(files[i], files[i+1])
	}
	s, err := New(Options{
		Paths: []string{dir}, Load: in.load, Refers: in.refers, Watcher: in.watcher, Recorder: in.world,
		Logger: slog.New(slog.NewTextHandler(in.world, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	ctx, stop := context.WithCancel(t.Context())
	in.s, in.stop = s, stop
	go func() { in.ended <- s.Run(ctx) }()
	synctest.Wait()
	return in
}

// put writes a file.
func (in *instance) put(name, text string) {
	in.t.Helper()
	if err := os.WriteFile(filepath.Join(in.dir, name), []byte(text), 0o600); err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) remove(name string) {
	in.t.Helper()
	if err := os.Remove(filepath.Join(in.dir, name)); err != nil {
		in.t.Fatal(err)
	}
}

// notify triggers the watcher and waits for the debounce.
func (in *instance) notify() {
	in.watcher.speak()
	in.advance(250 * time.Millisecond)
}

// advance advances the virtual time.
func (in *instance) advance(d time.Duration) {
	time.Sleep(d) // virtual time of the bubble
	synctest.Wait()
}

// expect compares the history since the last call.
func (in *instance) expect(want ...string) {
	in.t.Helper()
	got := in.takeHistory()
	if !slices.Equal(got, want) {
		in.t.Fatalf("happened:\n\t%s\nexpected:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// finish stops the instance and returns Run's error.
func (in *instance) finish() error {
	in.stop()
	return <-in.ended
}

func (in *instance) flow(name string) FlowReport {
	in.t.Helper()
	for _, f := range in.s.Report().Flows {
		if f.Name == name {
			return f
		}
	}
	in.t.Fatalf("no flow %s in the report", name)
	return FlowReport{}
}

var errBroken = errors.New("broken on purpose")

func broken(context.Context) error { return errBroken }
