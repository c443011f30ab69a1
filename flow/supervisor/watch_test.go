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

// real is a supervisor on a real directory with the notifications of the operating system. Polling
// is off, so only notifications can trigger a reload.
type real struct {
	*instance
}

func startReal(t *testing.T, dir string) *real {
	t.Helper()
	watcher, err := reload.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	s, err := New(Options{
		Paths: []string{dir}, Load: w.load, Watcher: watcher, Recorder: w,
		Logger: slog.New(slog.NewTextHandler(w, nil)), Debounce: 20 * time.Millisecond, Poll: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	in := &instance{world: w, t: t, dir: dir, s: s, stop: stop, ended: make(chan error, 1)}
	go func() { in.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		if err := in.finish(); err != nil {
			t.Error(err)
		}
	})
	return &real{instance: in}
}

// until waits for the condition, or fails after a long time.
func (r *real) until(what string, holds func() bool) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("waited in vain for: %s; happened: %v", what, r.takeHistory())
		}
	}
}

// happened waits until the history contains what.
func (r *real) happened(what string) {
	r.t.Helper()
	r.until(what, func() bool {
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
	put(t, filepath.Join(dir, "a.yaml"), "orders stage=1")
	r := startReal(t, dir)
	r.happened("run orders//1")
	for _, n := range []string{"2", "3"} { // twice: the watch must survive the first change
		r.put(".a.yaml.swp", "orders stage="+n)
		if err := os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")); err != nil {
			t.Fatal(err)
		}
		r.happened("swapped orders//" + n)
	}
}

func TestWatcher_seesAWriteInPlace(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.yaml"), "orders stage=1")
	r := startReal(t, dir)
	r.happened("run orders//1")
	f, err := os.OpenFile(filepath.Join(dir, "a.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"orders", " stage", "=2"} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.happened("swapped orders//2")
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
	swap("..2026_1", "orders stage=1")
	if err := os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r := startReal(t, dir)
	r.happened("run orders//1")
	swap("..2026_2", "orders stage=2")
	if err := os.RemoveAll(filepath.Join(dir, "..2026_1")); err != nil {
		t.Fatal(err)
	}
	r.happened("swapped orders//2")
	swap("..2026_3", "orders pauesd")
	r.until("a note of the fault", func() bool { return len(r.s.Report().Notes) == 1 })
	swap("..2026_4", "orders stage=4")
	r.happened("swapped orders//4")
}

func TestWatcher_seesFilesComeAndReferencesChange(t *testing.T) {
	dir, refs := t.TempDir(), t.TempDir()
	ref := filepath.Join(refs, "topic")
	put(t, ref, "one")
	put(t, filepath.Join(dir, "a.yaml"), "orders refs="+ref)
	r := startReal(t, dir)
	r.happened("run orders/one/")
	put(t, filepath.Join(dir, "b.yml"), "extra")
	r.happened("run extra//")
	put(t, ref, "two")
	r.happened("run orders/two/")
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
