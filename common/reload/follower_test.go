package reload

import (
	"bytes"
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

	"github.com/lsm/fiso/common/config"
)

// manualWatcher signals a change when the test says so.
type manualWatcher struct {
	mu      sync.Mutex
	changes chan struct{}
	paths   []string
	err     error
}

func newManualWatcher() *manualWatcher { return &manualWatcher{changes: make(chan struct{}, 1)} }

func (w *manualWatcher) Watch(paths []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paths = paths
	return w.err
}

func (w *manualWatcher) watches(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.paths, path)
}

func (w *manualWatcher) Changes() <-chan struct{} { return w.changes }
func (w *manualWatcher) Close() error             { return w.err }

// program follows the files of a directory. A content is a list of words: the value,
// then "ref=path", "text=path" (a file that Load reads), "bad" (Load returns an error)
// or "slow" (Load takes two seconds).
type program struct {
	t        *testing.T
	dir      string
	watcher  *manualWatcher
	follower *Follower[string]
	stop     func()

	mu      sync.Mutex
	listErr error
	got     []string // the changes since the last expect
	last    Look[string]
	logs    bytes.Buffer
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logs.Write(b)
}

func (p *program) list(context.Context) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(p.dir, "*.conf"))
	p.mu.Lock()
	defer p.mu.Unlock()
	return files, errors.Join(err, p.listErr)
}

var errBad = errors.New("the content is bad")

func (p *program) load(_ context.Context, f File) (l Loaded[string]) {
	if f.Err != nil {
		l.Err = f.Err
		return l
	}
	l.Texts = map[string]string{}
	for i, word := range strings.Fields(string(f.Data)) {
		key, path, _ := strings.Cut(word, "=")
		switch {
		case i == 0:
			l.Value = word
		case key == "ref":
			l.Refs = append(l.Refs, path)
		case key == "text":
			data, _ := os.ReadFile(path) // an absent file has no text
			l.Texts[path] = config.TrimValue(string(data))
			l.Value += "+" + l.Texts[path]
		case key == "bad":
			l.Err = errBad
		case key == "slow":
			time.Sleep(2 * time.Second) // virtual
		}
	}
	return l
}

func (p *program) apply(look Look[string]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = look
	for _, c := range look.Changes {
		what := filepath.Base(c.Path) + " " + c.Value
		switch {
		case c.Removed:
			what = filepath.Base(c.Path) + " removed"
		case c.Err != nil:
			what = filepath.Base(c.Path) + ": " + c.Err.Error()
		}
		p.got = append(p.got, what)
	}
}

// following runs a test of a program in virtual time.
func following(t *testing.T, test func(p *program)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(t, dir)
		defer func() { p.stop() }()
		test(p)
	})
}

// newProgram makes a program, which follows its files from start on.
func newProgram(t *testing.T, dir string) *program {
	p := &program{t: t, dir: dir, watcher: newManualWatcher(), stop: func() {}}
	p.follower = New(Options[string]{
		List: p.list, Load: p.load, Dirs: []string{p.dir}, Watcher: p.watcher,
		Logger: slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return p
}

func (p *program) put(name, text string) {
	p.t.Helper()
	put(p.t, filepath.Join(p.dir, name), text)
}

// start begins to follow the files, until stop.
func (p *program) start() {
	p.apply(p.follower.First(p.t.Context()))
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.follower.Run(ctx, p.apply) }()
	p.stop = sync.OnceFunc(func() { cancel(); <-done; p.follower.Close() })
	synctest.Wait()
}

// event makes the watcher signal a change, and waits for the effects.
func (p *program) event() {
	select {
	case p.watcher.changes <- struct{}{}:
	default:
	}
	p.pass(250 * time.Millisecond)
}

func (p *program) pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// expect compares the changes since the last call.
func (p *program) expect(want ...string) {
	p.t.Helper()
	p.mu.Lock()
	got := p.got
	p.got = nil
	p.mu.Unlock()
	if !slices.Equal(got, want) {
		p.t.Fatalf("handed over:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (p *program) look() Look[string] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func TestFollower_handsOverEachContentOnce(t *testing.T) {
	following(t, func(p *program) {
		p.put("b.conf", "second")
		p.put("a.conf", "first")
		p.start()
		p.expect("a.conf first", "b.conf second")
		p.event()
		p.pass(time.Minute)
		p.expect()
		p.put("a.conf", "third")
		p.event()
		p.expect("a.conf third")
		p.put("c.conf", "new")
		p.pass(6 * time.Second) // no event: polling finds it
		p.expect("c.conf new")
		p.put("c.conf", "bad bad")
		p.event()
		p.pass(time.Minute)
		p.expect("c.conf: the content is bad")
		if err := os.Remove(filepath.Join(p.dir, "c.conf")); err != nil {
			t.Fatal(err)
		}
		p.event()
		p.pass(time.Second)
		p.expect()
		if l := p.look(); l.Listed(filepath.Join(p.dir, "c.conf")) || !l.Current(filepath.Join(p.dir, "a.conf")) {
			t.Errorf("look = %+v", l)
		}
		p.pass(10 * time.Second)
		p.expect("c.conf removed")
	})
}

// F14: https://github.com/jimmidyson/configmap-reload/issues/190
func TestFollower_handsOverNoHalfWrittenFile(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		p.start()
		p.expect("a.conf first")
		for i, half := range []string{"", "ne", "new", "new re", "new ref=x"} {
			p.put("a.conf", half)
			p.watcher.changes <- struct{}{}
			p.pass(time.Duration(60+i) * time.Millisecond)
			p.expect()
		}
		p.pass(250 * time.Millisecond)
		p.expect("a.conf new")
	})
}

func TestFollower_removesNothingThatCannotBeListed(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		away := filepath.Join(p.dir, "a.away")
		p.start()
		p.expect("a.conf first")
		p.mu.Lock()
		p.listErr = errors.New("the mount is away")
		p.mu.Unlock()
		if err := os.Rename(filepath.Join(p.dir, "a.conf"), away); err != nil {
			t.Fatal(err)
		}
		p.pass(time.Minute)
		p.expect()
		if l := p.look(); l.Err == nil || l.Err.Error() != "the mount is away" {
			t.Errorf("error = %v", l.Err)
		}
		p.stop()
		if l := p.follower.First(p.t.Context()); l.Err == nil || len(l.Changes) > 0 {
			t.Errorf("a start loads %v, error %v", l.Changes, l.Err)
		}
	})
}

func TestFollower_followsTheFilesThatAContentRefersTo(t *testing.T) {
	ref, text := filepath.Join(t.TempDir(), "ref"), filepath.Join(t.TempDir(), "text")
	put(t, text, "one\n")
	following(t, func(p *program) {
		p.put("a.conf", "first ref="+ref)
		p.put("b.conf", "second text="+text)
		p.start()
		p.expect("a.conf first", "b.conf second+one")
		for _, path := range []string{p.dir, ref, text} {
			if !p.watcher.watches(path) {
				t.Errorf("%s is not watched", path)
			}
		}
		p.pass(time.Minute)
		p.expect("a.conf first") // the content of ref at the load is not known, that of text is
		put(t, ref, "x")
		p.event()
		p.expect("a.conf first")
		put(t, text, "one") // only the line break at its end changes
		p.event()
		p.expect()
		put(t, text, "two")
		p.event()
		p.expect("b.conf second+two")
		// A faulty content keeps the references of the last good one.
		p.put("b.conf", "third bad")
		p.event()
		p.pass(time.Minute)
		p.expect("b.conf: the content is bad", "b.conf: the content is bad") // see the next test
		put(t, text, "three")
		p.event()
		p.expect("b.conf: the content is bad")
	})
}

// U16: Load may read a file while it is being replaced and report a fault, though the
// checks before and after it see no difference.
func TestFollower_loadsAFaultOnceMoreWhereItsFilesCouldBeRead(t *testing.T) {
	ref := filepath.Join(t.TempDir(), "ref")
	following(t, func(p *program) {
		p.put("a.conf", "first bad ref="+ref)
		p.start()
		p.pass(time.Minute)
		p.expect("a.conf: the content is bad", "a.conf: the content is bad") // ref was not known, and is missing
		put(t, ref, "x")
		p.event()
		p.expect("a.conf: the content is bad")
		if p.look().Current(filepath.Join(p.dir, "a.conf")) {
			t.Error("a content that is to be loaded once more is current")
		}
		p.pass(time.Minute)
		p.expect("a.conf: the content is bad")
	})
}

// U16: files that take long to load do not delay others for long, and all are loaded.
func TestFollower_loadsSmallFilesFirstAndForASecond(t *testing.T) {
	following(t, func(p *program) {
		p.start()
		for i := range 6 {
			p.put(fmt.Sprintf("%d.conf", i), fmt.Sprint("large-", i, " slow and longer than the other"))
		}
		p.put("z.conf", "small")
		p.event()
		p.pass(2 * time.Second)
		p.expect("z.conf small", "0.conf large-0")
		p.put("z.conf", "smaller")
		p.watcher.changes <- struct{}{}
		p.pass(4 * time.Second)
		p.expect("1.conf large-1", "2.conf large-2")
		p.pass(2 * time.Second)
		p.expect("z.conf smaller", "3.conf large-3")
		if err := os.Remove(filepath.Join(p.dir, "5.conf")); err != nil {
			t.Fatal(err)
		}
		p.pass(time.Minute)
		p.expect("4.conf large-4") // 5.conf was removed before it was loaded
	})
}

func TestFollower_saysWhatCannotBeRead(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		p.start()
		p.expect("a.conf first")
		path := filepath.Join(p.dir, "a.conf")
		if err := errors.Join(os.Remove(path), os.Symlink(filepath.Join(p.dir, "nowhere"), path)); err != nil {
			t.Fatal(err)
		}
		p.event()
		p.pass(time.Minute)
		p.expect("a.conf: open " + path + ": no such file or directory")
	})
}

func TestFollower_takesAForgottenFileForANewOne(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		p.follower.First(p.t.Context())
		p.follower.Forget(filepath.Join(p.dir, "a.conf"))
		now := time.Now()
		if look, again := p.follower.Look(p.t.Context(), now); len(look.Changes) > 0 || again != 100*time.Millisecond {
			t.Errorf("changes %v, again in %v", look.Changes, again)
		}
		if look, _ := p.follower.Look(p.t.Context(), now.Add(time.Second)); len(look.Changes) != 1 {
			t.Errorf("changes %v", look.Changes)
		}
		p.follower.Close()
	})
}

func TestFollower_endsWithItsContext(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		ctx, cancel := context.WithCancel(p.t.Context())
		p.follower.o.Load = func(context.Context, File) Loaded[string] { cancel(); return Loaded[string]{} }
		p.put("b.conf", "second")
		var applied int
		p.follower.Run(ctx, func(Look[string]) { applied++ }) // it loads the first file and ends
		if applied != 1 {
			t.Errorf("%d looks were handed over, want the one that found the files", applied)
		}
		if look, again := p.follower.Look(ctx, time.Now()); len(look.Changes) > 0 || again != 0 {
			t.Errorf("changes %v, again in %v", look.Changes, again)
		}
	})
}

func TestFollower_goesOnWithoutItsWatcher(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		p.watcher.err = errors.New("no more watches")
		p.start()
		p.put("a.conf", "second")
		p.pass(6 * time.Second)
		p.expect("a.conf first", "a.conf second")
		p.stop()
		for _, want := range []string{"file watch failed", "cannot close file watcher", "no more watches"} {
			if !strings.Contains(p.logs.String(), want) {
				t.Errorf("the log lacks %q: %s", want, p.logs.String())
			}
		}
	})
}

func TestFollower_needsNoWatcher(t *testing.T) {
	following(t, func(p *program) {
		p.put("a.conf", "first")
		p.follower = New(Options[string]{List: p.list, Load: p.load})
		p.start()
		p.put("a.conf", "second")
		p.pass(6 * time.Second)
		p.expect("a.conf first", "a.conf second")
	})
}
