package supervisor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lsm/fiso/common/reload"
)

// watchingInstance is a supervisor on a real directory with the notifications of the operating system. Polling
// is off, so only notifications can trigger a reload.
type watchingInstance struct {
	*instance
}

func startWatching(t *testing.T, dir string) *watchingInstance {
	t.Helper()
	watcher, err := reload.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	env := newTestEnv()
	s, err := New(Options{
		Paths: []string{dir}, Load: env.load, Watcher: watcher, Recorder: env,
		Logger: slog.New(slog.NewTextHandler(env, nil)), Debounce: 20 * time.Millisecond, Poll: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	in := &instance{testEnv: env, t: t, dir: dir, s: s, stop: stop, ended: make(chan error, 1)}
	go func() { in.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		if err := in.finish(); err != nil {
			t.Error(err)
		}
	})
	return &watchingInstance{instance: in}
}

// waitUntil waits for the condition, or fails after a long time.
func (r *watchingInstance) waitUntil(what string, holds func() bool) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("timed out waiting for: %s; calls: %v", what, r.takeHistory())
		}
	}
}

// waitFor waits until the history contains what.
func (r *watchingInstance) waitFor(what string) {
	r.t.Helper()
	r.waitUntil(what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, h := range r.history {
			if h == what {
				return true
			}
		}
		return false
	})
}

func TestWatcher_seesAnEditorsRename(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.yaml"), "orders version=1")
	r := startWatching(t, dir)
	r.waitFor("run orders//1")
	for _, n := range []string{"2", "3"} { // twice: the watch must survive the first change
		r.put(".a.yaml.swp", "orders version="+n)
		if err := os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")); err != nil {
			t.Fatal(err)
		}
		r.waitFor("swapped orders//" + n)
	}
}

func TestWatcher_seesAWriteInPlace(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.yaml"), "orders version=1")
	r := startWatching(t, dir)
	r.waitFor("run orders//1")
	f, err := os.OpenFile(filepath.Join(dir, "a.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"orders", " version", "=2"} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.waitFor("swapped orders//2")
}

// F14: Kubernetes replaces a ConfigMap by pointing the link ..data to another directory; the files
// get no notification. https://github.com/jimmidyson/configmap-reload/issues/190
func TestWatcher_seesAConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, version, "a.yaml"), text)
		tmp := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(version, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..2026_1", "orders version=1")
	if err := os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r := startWatching(t, dir)
	r.waitFor("run orders//1")
	swap("..2026_2", "orders version=2")
	if err := os.RemoveAll(filepath.Join(dir, "..2026_1")); err != nil {
		t.Fatal(err)
	}
	r.waitFor("swapped orders//2")
	swap("..2026_3", "orders pauesd")
	r.waitUntil("a note of the fault", func() bool { return len(r.s.Report().Notes) == 1 })
	swap("..2026_4", "orders version=4")
	r.waitFor("swapped orders//4")
}

func TestWatcher_seesFilesComeAndReferencesChange(t *testing.T) {
	dir, refs := t.TempDir(), t.TempDir()
	ref := filepath.Join(refs, "topic")
	put(t, ref, "one")
	put(t, filepath.Join(dir, "a.yaml"), "orders refs="+ref)
	r := startWatching(t, dir)
	r.waitFor("run orders/one/")
	put(t, filepath.Join(dir, "b.yml"), "extra")
	r.waitFor("run extra//")
	put(t, ref, "two")
	r.waitFor("run orders/two/")
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
