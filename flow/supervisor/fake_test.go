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

// testEnv is shared by the fakes of one test: the history of calls, and the faults to inject.
type testEnv struct {
	mu      sync.Mutex
	history []string
	running map[string]int // active pipelines by flow
	faults  map[string]func(ctx context.Context) error
	status  map[string]Status
	valid   map[string]bool
	reloads map[string]int
	logs    strings.Builder
	deleted []string
	loads   map[string]int // how often each content was loaded
}

func newTestEnv() *testEnv {
	return &testEnv{
		running: map[string]int{}, faults: map[string]func(context.Context) error{},
		status: map[string]Status{}, valid: map[string]bool{}, reloads: map[string]int{},
		loads: map[string]int{},
	}
}

func (env *testEnv) log(format string, args ...any) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.history = append(env.history, fmt.Sprintf(format, args...))
}

// fault makes a step ("build orders", "run orders", "swap orders", "drain orders") call f; nil:
// the step succeeds.
func (env *testEnv) fault(step string, f func(context.Context) error) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.faults[step] = f
}

func (env *testEnv) step(ctx context.Context, step string) error {
	env.mu.Lock()
	f := env.faults[step]
	env.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx)
}

// takeHistory returns the history since the last call.
func (env *testEnv) takeHistory() []string {
	env.mu.Lock()
	defer env.mu.Unlock()
	h := env.history
	env.history = nil
	return h
}

func (env *testEnv) Reloaded(flow string, ok bool) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.reloads[fmt.Sprintf("%s %v", flow, ok)]++
}

func (env *testEnv) Valid(flow string, ok bool) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.valid[flow] = ok
}

func (env *testEnv) Forget(flow string) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.deleted = append(env.deleted, flow)
}

// deletedGauges returns the names whose gauges were deleted since the last call, in order.
func (env *testEnv) deletedGauges() string {
	env.mu.Lock()
	defer env.mu.Unlock()
	names := strings.Join(env.deleted, " ")
	env.deleted = nil
	return names
}

func (env *testEnv) Write(p []byte) (int, error) {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.logs.Write(p)
}

func (env *testEnv) logged(text string) bool {
	env.mu.Lock()
	defer env.mu.Unlock()
	return strings.Contains(env.logs.String(), text)
}

func (env *testEnv) isValid(flow string) bool {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.valid[flow]
}

// counted returns how often a reload was counted; what is "flow outcome".
func (env *testEnv) counted(what string) int {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.reloads[what]
}

// fakePlan is a plan, parsed from a line such as "orders source=a version=b paused refs=/x".
type fakePlan struct {
	env                   *testEnv
	name, source, version string
	paused                bool
	refs                  []string
}

func (env *testEnv) load(file string, data []byte) (Plan, error) {
	env.mu.Lock()
	env.loads[string(data)]++
	env.mu.Unlock()
	if err := env.step(context.Background(), "load "+filepath.Base(file)); err != nil {
		return nil, err
	}
	words := strings.Fields(string(data))
	if len(words) == 0 {
		return nil, fmt.Errorf("%s:1:1: the file is empty", file)
	}
	if err := env.step(context.Background(), "load"); err != nil {
		return nil, err
	}
	d := &fakePlan{env: env, name: words[0]}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "source":
			d.source = value
		case "version":
			d.version = value
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
func (env *testEnv) refers(_ string, data []byte) (refs []string) {
	for _, word := range strings.Fields(string(data)) {
		if ref, ok := strings.CutPrefix(word, "refs="); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

// loaded returns how often a content was loaded.
func (env *testEnv) loaded(content string) int {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.loads[content]
}

func (d *fakePlan) Name() string                { return d.name }
func (d *fakePlan) Paused() bool                { return d.paused }
func (d *fakePlan) Files() []string             { return d.refs }
func (d *fakePlan) SourceKey() string           { return d.source }
func (d *fakePlan) VersionKey() string          { return d.version }
func (d *fakePlan) DrainTimeout() time.Duration { return 20 * time.Second }
func (d *fakePlan) String() string              { return d.name + "/" + d.source + "/" + d.version }

func (d *fakePlan) Build() (Pipeline, error) {
	if err := d.env.step(context.Background(), "build "+d.name); err != nil {
		return nil, err
	}
	return &fakePipeline{env: d.env, d: d}, nil
}

// fakePipeline records calls, and a failure if two pipelines of one flow run at the same time.
type fakePipeline struct {
	env *testEnv
	d   *fakePlan
}

func (p *fakePipeline) Run(ctx context.Context) error {
	p.env.mu.Lock()
	p.env.running[p.d.name]++
	if p.env.running[p.d.name] > 1 {
		p.env.history = append(p.env.history, "two pipelines run: "+p.d.name)
	}
	p.env.mu.Unlock()
	p.env.log("run %v", p.d)
	defer func() {
		p.env.mu.Lock()
		p.env.running[p.d.name]--
		p.env.mu.Unlock()
	}()
	if err := p.env.step(ctx, "run "+p.d.name); err != nil {
		p.env.log("failed %v", p.d)
		return err
	}
	<-ctx.Done()
	err := p.env.step(ctx, "drain "+p.d.name)
	p.env.log("drained %v", p.d)
	return err
}

func (p *fakePipeline) Swap(ctx context.Context, next Plan) error {
	if err := p.env.step(ctx, "swap "+p.d.name); err != nil {
		return err
	}
	p.d = next.(*fakePlan)
	p.env.log("swapped %v", p.d)
	return nil
}

func (p *fakePipeline) Status() Status {
	p.env.mu.Lock()
	defer p.env.mu.Unlock()
	return p.env.status[p.d.name]
}

func (p *fakePipeline) Close() { p.env.log("closed %v", p.d) }

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
func (f *fakeWatcher) signal() {
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

// instance is a supervisor under test on a real directory, in a synctest bubble.
type instance struct {
	*testEnv
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
	in := &instance{testEnv: newTestEnv(), t: t, dir: dir, watcher: newFakeWatcher(), ended: make(chan error, 1)}
	for i := 0; i < len(files); i += 2 {
		in.put(files[i], files[i+1])
	}
	s, err := New(Options{
		Paths: []string{dir}, Load: in.load, Refers: in.refers, Watcher: in.watcher, Recorder: in.testEnv,
		Logger: slog.New(slog.NewTextHandler(in.testEnv, nil)),
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
	in.watcher.signal()
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
		in.t.Fatalf("calls:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
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
