//go:build integration

package deadletter

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// logrotate is the real program, with a configuration for a file.
func logrotate(t *testing.T, path, directives string) (rotate func()) {
	t.Helper()
	program, err := exec.LookPath("logrotate")
	if err != nil {
		// It is often not in the PATH of an ordinary user.
		if program, err = exec.LookPath("/usr/sbin/logrotate"); err != nil {
			t.Skip("logrotate is missing: install the package logrotate")
		}
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "%q {\n rotate 1000\n missingok\n %s\n}\n", path, directives), 0o600))
	return func() {
		cmd := exec.CommandContext(t.Context(), program, "--force", "--state", filepath.Join(dir, "state"), conf)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("logrotate: %v: %s", err, out)
		}
	}
}

// rotated returns the file and all files that logrotate made of it, unpacked.
func rotated(t *testing.T, path string) []string {
	t.Helper()
	paths, err := filepath.Glob(path + "*")
	must(t, err)
	for i, p := range paths {
		if !strings.HasSuffix(p, ".gz") {
			continue
		}
		packed, err := os.ReadFile(p)
		must(t, err)
		in, err := gzip.NewReader(bytes.NewReader(packed))
		must(t, err)
		data, err := io.ReadAll(in)
		must(t, err)
		paths[i] = strings.TrimSuffix(p, ".gz") + ".plain"
		must(t, os.WriteFile(paths[i], data, 0o600))
	}
	return paths
}

// U17: whatever logrotate does, and whichever processes write meanwhile, a letter that
// was reported as stored is in one of the files.
func TestFile_losesNothingToLogrotate(t *testing.T) {
	for name, directives := range map[string]string{
		"create":           "create",
		"nocreate":         "nocreate",
		"create, compress": "create\n compress",
		"nocreate, olddir": "nocreate\n olddir old\n createolddir 0755",
		"compress at once": "nocreate\n compress\n nodelaycompress",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dlq.jsonl")
			w := open(t, path)
			rotate := logrotate(t, path, directives)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stored [4]atomic.Int64
			var writers sync.WaitGroup
			for i := range stored {
				writers.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						if err := w.Write(context.Background(), numbered(fmt.Sprint("own", i), n)); err != nil {
							t.Error(err)
							return
						}
						stored[i].Add(1)
					}
				})
			}
			const count = 200
			wait := startOther(t, path, count)
			for range 15 {
				rotate()
			}
			if n := wait(); n != count {
				t.Fatalf("the other process stored %d letters", n)
			}
			cancel()
			writers.Wait()

			paths := rotated(t, path)
			old, err := filepath.Glob(filepath.Join(filepath.Dir(path), "old", "*"))
			must(t, err)
			paths = append(paths, old...)
			if len(paths) < 15 {
				t.Errorf("only %d files", len(paths))
			}
			found := values(t, paths...)
			missing, twice := 0, 0
			look := func(who string, n int) {
				for i := range n {
					switch found[fmt.Sprintf("%s %d", who, i)] {
					case 0:
						missing++
					case 1:
					default:
						twice++
					}
				}
			}
			look("other", count)
			total := count
			for i := range stored {
				look(fmt.Sprint("own", i), int(stored[i].Load()))
				total += int(stored[i].Load())
			}
			t.Logf("%d letters in %d files, %d of them twice", total, len(paths), twice)
			if missing > 0 {
				t.Errorf("%d of %d letters are missing", missing, total)
			}
		})
	}
}

// U17: copytruncate copies and then truncates, and loses what is written in between, as
// its manual says. Nothing else is lost, and no NULs appear.
func TestFile_goesOnAfterCopytruncate(t *testing.T) {
	w, d, path := withDisk(t)
	rotate := logrotate(t, path, "copytruncate")
	const rounds, each = 5, 10
	for round := range rounds {
		for n := range each {
			d.write = errDisk
			if err := w.Write(t.Context(), numbered("failed", n)); err == nil {
				t.Fatal("a failed write is stored")
			}
			d.write = nil
			if err := w.Write(t.Context(), numbered("own", round*each+n)); err != nil {
				t.Fatal(err)
			}
		}
		if round < rounds-1 {
			rotate()
		}
	}
	paths := rotated(t, path)
	found := values(t, paths...)
	if len(paths) != rounds || len(found) != rounds*each {
		t.Errorf("%d letters in %d files; want %d in %d", len(found), len(paths), rounds*each, rounds)
	}
	for _, p := range paths {
		if data, err := os.ReadFile(p); err != nil || bytes.IndexByte(data, 0) >= 0 {
			t.Errorf("%s has NULs, or %v", p, err)
		}
	}
}
