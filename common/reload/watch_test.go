package reload

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// F14, https://github.com/open-feature/flagd/issues/42: a watch ends with its
// directory, and must be set again on the new one.
func TestWatcher_survivesTheDirectoryBeingReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	watch := func() {
		t.Helper()
		if err := w.Watch([]string{dir, filepath.Join(dir, "ref"), filepath.Join(dir, "..", "no", "such")}); err != nil {
			t.Error(err)
		}
	}
	watch()
	watch() // the same paths again change nothing
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	<-w.Changes()
	watch()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	watch()
	drain(w)
	put(t, filepath.Join(dir, "a.yaml"), "orders")
	<-w.Changes()
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	<-w.Changes()
	watch()
	drain(w)
	put(t, filepath.Join(dir, "a.yaml"), "orders")
	<-w.Changes()
	if err := w.Watch(nil); err != nil {
		t.Error(err)
	}
}

func TestWatcher_thatIsClosedSaysSo(t *testing.T) {
	w, err := NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Watch([]string{t.TempDir()}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("error = %v", err)
	}
}

func drain(w Watcher) {
	select {
	case <-w.Changes():
	default:
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
