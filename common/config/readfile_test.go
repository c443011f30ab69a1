package config

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config/configtest"
)

// irregular makes one of each kind of file that is not regular. It returns the description of each, by
// path.
func irregular(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := configtest.Pipe(at("pipe")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for name, target := range map[string]string{"zero": "/dev/zero", "link": at("pipe")} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{
		dir: "a directory", at("pipe"): "a named pipe", at("link"): "a named pipe", at("socket"): "a socket", at("zero"): "a device",
	}
}

// U16: a named pipe in place of a file was opened, which waited for a writer for ever; /dev/zero was read
// without end.
func TestReadFile_readsRegularFilesOnly(t *testing.T) {
	for path, kind := range irregular(t) {
		want := path + " is " + kind + ": only a regular file can be read"
		if _, err := ReadFile(t.Context(), path, 10); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestReadFile_followsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "..v1"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "..v1", "a"), "content")
	for link, target := range map[string]string{"..data": "..v1", "a": "..data/a"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := ReadFile(t.Context(), filepath.Join(dir, "a"), 10); string(data) != "content" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestReadFile_isBounded(t *testing.T) {
	path := tempFile(t, "f", "0123456789")
	if data, err := ReadFile(t.Context(), path, 10); string(data) != "0123456789" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	if _, err := ReadFile(t.Context(), path, 9); err == nil || err.Error() != path+" is larger than 9 bytes" {
		t.Errorf("got %v", err)
	}
	if err := os.Truncate(path, 1<<40); err != nil { // a sparse file: no disk is that large
		t.Fatal(err)
	}
	if _, err := ReadFile(t.Context(), path, 1<<20); err == nil || err.Error() != path+" is larger than 1 MiB" {
		t.Errorf("got %v", err)
	}
}

// Reading a file that grows faster than it is read also ends at the limit.
func TestReadFile_ofAFileThatGrowsEnds(t *testing.T) {
	path := tempFile(t, "f", "")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		chunk := make([]byte, 4096)
		for size := 0; size < 1<<26; size += len(chunk) {
			select {
			case <-stop:
				return
			default:
				_, _ = f.Write(chunk)
			}
		}
	}()
	for {
		data, err := ReadFile(t.Context(), path, 1<<20)
		if err != nil {
			if !strings.HasSuffix(err.Error(), "is larger than 1 MiB") {
				t.Error(err)
			}
			break
		}
		if len(data) > 1<<20 {
			t.Fatalf("%d bytes", len(data))
		}
	}
	close(stop)
	<-stopped
	_ = f.Close()
}

// U16: a file system that does not answer blocked each caller for ever.
func TestWithin_givesUpACallThatHangsAndMakesNoSecondOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int64
		hang := func() (string, error) { calls.Add(1); <-release; return "late", nil }
		begun := time.Now()
		for range 3 {
			_, err := WithFileTimeout(t.Context(), "/mnt/dead", hang)
			if want := "/mnt/dead: the file system does not answer: check what is mounted there"; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if took := time.Since(begun); took != fileTimeout || calls.Load() != 1 {
			t.Errorf("%d calls took %v, want one and %v", calls.Load(), took, fileTimeout)
		}
		if got, err := WithFileTimeout(t.Context(), "/mnt/alive", func() (string, error) { return "other", nil }); got != "other" || err != nil {
			t.Errorf("another path: %q, %v", got, err)
		}
		close(release) // the file system answers again
		synctest.Wait()
		if got, err := WithFileTimeout(t.Context(), "/mnt/dead", func() (string, error) { return "back", nil }); got != "back" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestWithin_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		go cancel()
		_, err := WithFileTimeout(ctx, "/mnt/slow", func() (int, error) { <-release; return 0, nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(fileTimeout) // the pending call exceeds the timeout
		synctest.Wait()
		_, err = WithFileTimeout(t.Context(), "/mnt/slow", func() (int, error) { t.Error("a second call is made"); return 0, nil })
		if err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("got %v", err)
		}
		close(release)
		synctest.Wait()
		if got, err := WithFileTimeout(t.Context(), "/mnt/slow", func() (int, error) { return 1, nil }); got != 1 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	})
}

func TestWithin_countsNoCallThatEndedInTime(t *testing.T) {
	c := &unansweredCall{path: "/mnt/just"}
	unansweredByPath.end(c)
	unansweredByPath.add(c)
	if unansweredByPath.has(c.path) {
		t.Error("a call that is over counts as late")
	}
}
