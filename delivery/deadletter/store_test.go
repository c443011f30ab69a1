package deadletter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config/configtest"
)

// numbered is a letter with a value of its own.
func numbered(who string, n int) *Letter {
	l := letter()
	l.Message.Value = fmt.Appendf(nil, "%s %d", who, n)
	return l
}

// values counts the letters of files by their value, and fails for an invalid
// line.
func values(t *testing.T, paths ...string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, path := range paths {
		for l, err := range ReadFile(path) {
			if err != nil {
				t.Error(err)
				continue
			}
			found[string(l.Message.Value)]++
		}
	}
	return found
}

// otherProcess is this test in another process, which writes letters to a file and
// reports which are stored.
const otherProcess = "FISO_TEST_WRITE_LETTERS"

func TestOtherProcess(t *testing.T) {
	path, n, ok := strings.Cut(os.Getenv(otherProcess), "|")
	if !ok {
		return // it runs only as a part of the tests below
	}
	count, err := strconv.Atoi(n)
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, path)
	for i := range count {
		if err := w.Write(t.Context(), numbered("other", i)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(os.Stdout, "stored", i); err != nil {
			t.Fatal(err)
		}
	}
}

// startOther starts the other process; wait returns how many letters it stored.
func startOther(t *testing.T, path string, count int) (wait func() int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOtherProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", otherProcess, path, count))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() int {
		stored := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			if strings.HasPrefix(in.Text(), "stored ") {
				stored++
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		return stored
	}
}

// U17: two processes write to one file, and writes of one of them fail: 40 of 45
// letters of the other were cut off.
func TestFile_twoProcessesShareAFileAndCutNothingOfEachOther(t *testing.T) {
	w, d, path := withDisk(t)
	const each = 50
	wait := startOther(t, path, each)
	failed := 0
	for i := range each {
		if i%2 == 1 {
			d.write = errDisk
			if err := w.Write(t.Context(), numbered("own", i)); !errors.Is(err, errDisk) {
				t.Fatalf("Write: %v", err)
			}
			d.write = nil
			failed++
		}
		if err := w.Write(t.Context(), numbered("own", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := wait(); n != each {
		t.Fatalf("the other process stored %d letters", n)
	}
	found := values(t, path)
	for i := range each {
		for _, who := range []string{"own", "other"} {
			if v := fmt.Sprintf("%s %d", who, i); found[v] != 1 {
				t.Errorf("letter %q is in the file %d times", v, found[v])
			}
		}
	}
	if len(found) != 2*each || failed == 0 {
		t.Errorf("%d letters, %d failed writes", len(found), failed)
	}
}

// U17: the same, at the worst moment.
func TestFile_aFailedWriteCutsNothingOfAnother(t *testing.T) {
	w, d, path := withDisk(t)
	other := open(t, path)
	var stored error
	d.write, d.writing = errDisk, func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		stored = other.Write(ctx, numbered("other", 0))
	}
	if err := w.Write(t.Context(), numbered("own", 0)); !errors.Is(err, errDisk) {
		t.Errorf("Write: %v", err)
	}
	if stored == nil && values(t, path)["other 0"] != 1 {
		t.Error("a letter that was reported as stored is gone")
	}
	if !errors.Is(stored, context.DeadlineExceeded) {
		t.Errorf("the other's write: %v; want it to wait", stored)
	}
}

// U17: the same in one process, with two flows or two versions of a flow.
func TestFile_twoOpeningsShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dlq.jsonl")
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b", "c"} {
		w := open(t, path)
		for n := range 20 {
			wg.Go(func() {
				if err := w.Write(context.Background(), numbered(who, n)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if found := values(t, path); len(found) != 60 {
		t.Errorf("%d letters; want 60", len(found))
	}
}

// U17: a letter that was written to a renamed or deleted file was reported as
// stored.
func TestFile_writesToTheFileThatHasTheName(t *testing.T) {
	for _, row := range []struct {
		name   string
		rotate func(t *testing.T, path string)
	}{
		{"renamed", func(t *testing.T, path string) { must(t, os.Rename(path, path+".1")) }},
		{"renamed, and a new one made", func(t *testing.T, path string) {
			must(t, os.Rename(path, path+".1"))
			must(t, os.WriteFile(path, nil, 0o600))
		}},
		{"deleted", func(t *testing.T, path string) { must(t, os.Remove(path)) }},
		{"copied and truncated", func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }},
	} {
		for _, when := range []string{"between two letters", "while a letter is synced"} {
			t.Run(row.name+" "+when, func(t *testing.T) {
				w, d, path := withDisk(t)
				if err := w.Write(t.Context(), numbered("before", 0)); err != nil {
					t.Fatal(err)
				}
				if when == "between two letters" {
					row.rotate(t, path)
				} else {
					d.syncing = func() {
						d.syncing = nil
						row.rotate(t, path)
					}
				}
				for n := range 2 {
					if err := w.Write(t.Context(), numbered("after", n)); err != nil {
						t.Fatal(err)
					}
				}
				found := values(t, path)
				if found["before 0"] != 0 || found["after 0"] != 1 || found["after 1"] != 1 {
					t.Errorf("the file at the path holds %v; want the letters after it was rotated", found)
				}
				data, err := os.ReadFile(path)
				if err != nil || bytes.IndexByte(data, 0) >= 0 {
					t.Errorf("NULs in the file, or %v", err)
				}
			})
		}
	}
}

// U17: a failed write after a truncation by another program filled the file up to its
// former end.
func TestFile_aFailedWriteNeverFillsUpATruncatedFile(t *testing.T) {
	w, d, path := withDisk(t)
	if err := w.Write(t.Context(), letter()); err != nil {
		t.Fatal(err)
	}
	d.sync, d.syncing = errDisk, func() { must(t, os.Truncate(path, 0)) }
	if err := w.Write(t.Context(), letter()); !errors.Is(err, errDisk) {
		t.Errorf("Write: %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 0 {
		t.Errorf("%d bytes, %v; want the empty file that the other left", st.Size(), err)
	}
}

// U17: a truncation by another program may leave any number of NULs.
func TestReadFile_passesOverNULs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dlq.jsonl")
	w := open(t, path)
	for n := range 3 {
		if n == 1 {
			st, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, st.Size()+3<<20))
		}
		if err := w.Write(t.Context(), numbered("n", n)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for l, err := range ReadFile(path) {
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, string(l.Message.Value))
	}
	if want := []string{"n 0", path + ": line 2: unfinished, because of a crash or a full disk; it was never reported as stored", "n 1", "n 2"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q", got)
	}
}

func TestFile_waitsForTheLockOfAnotherNoLongerThanItsContext(t *testing.T) {
	w, _, path := withDisk(t)
	other := open(t, path)
	if err := other.lockNamed(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := w.Write(ctx, numbered("a", 0))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for another process to unlock "+path) {
		t.Errorf("error is %v", err)
	}
	unlock(other.file)
	if err := w.Write(t.Context(), numbered("a", 1)); err != nil {
		t.Fatal(err)
	}
	if found := values(t, path); len(found) != 1 || found["a 1"] != 1 {
		t.Errorf("the file holds %v; want the letter that was reported as stored", found)
	}
}

func TestFile_saysWhyItCannotReachItsFile(t *testing.T) {
	w, d, path := withDisk(t)
	d.stat = errDisk
	if err := w.Write(t.Context(), letter()); !errors.Is(err, errDisk) {
		t.Errorf("Write: %v", err)
	}
	d.stat = nil
	dir := filepath.Dir(path)
	must(t, os.Rename(dir, dir+".gone"))
	if err := w.Write(t.Context(), letter()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is gone: %v", err)
	}
	if err := w.Write(t.Context(), letter()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is still gone: %v", err)
	}
	must(t, os.Rename(dir+".gone", dir))
	if err := w.Write(t.Context(), letter()); err != nil {
		t.Errorf("it is there again: %v", err)
	}
	if l := all(t, path); len(l) != 1 {
		t.Errorf("%d letters", len(l))
	}
}

// U17: a pipe does not store letters, and must not block until its other end is opened.
func TestFile_isARegularOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, configtest.Pipe(path))
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
		t.Errorf("OpenFile: %v", err)
	}
	for _, err := range ReadFile(path) {
		if err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("ReadFile: %v", err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
