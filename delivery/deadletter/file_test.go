package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

func open(t *testing.T, path string) *File {
	t.Helper()
	w, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func all(t *testing.T, path string) []*Letter {
	t.Helper()
	var ls []*Letter
	for l, err := range ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, l)
	}
	return ls
}

func TestFile_readsBackByteForByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dlq.jsonl")
	w := open(t, path)
	none := letter()
	none.Message.Key, none.Message.Value, none.Message.Time = nil, nil, time.Time{}
	empty := letter()
	empty.Message.Key, empty.Message.Value = []byte{}, []byte{}
	binary := letter()
	binary.Message.Value = []byte("\x00\xff<&>\n\"")
	binary.Message.Headers = append(binary.Message.Headers, connector.Header{Key: "\xfe", Value: []byte("\xfd")})
	letters := []*Letter{letter(), none, empty, binary}
	for _, l := range letters {
		if err := w.Write(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for i, got := range all(t, path) {
		if !same(got, letters[i]) {
			t.Errorf("letter %d came back as %+v, %q", i, got.Message, text(got.Message.Headers))
		}
	}
	data, _ := os.ReadFile(path)
	if first, _, _ := strings.Cut(string(data), "\n"); !strings.HasPrefix(first, `{"time":"2023-11-14T22:13:20Z","key":"k\u0000","value":"{\"a\":1}","headers":[{"name":"b","value":"1"},{"name":"a","value":{"base64":"/w=="}},`) {
		t.Errorf("line %s", first)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", st.Mode())
	}
}

// U5: a source that takes other units for milliseconds has such times.
func TestFile_aTimeThatJSONCannotHoldStandsInItsHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dlq.jsonl")
	l := letter()
	l.Message.Time = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := open(t, path).Write(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got := all(t, path); len(got) != 1 || !got[0].Message.Time.Equal(l.Message.Time) {
		t.Errorf("%+v", got)
	}
}

// F10, https://github.com/elastic/logstash/issues/10881: a line that a crash
// left unfinished must not stop the reader, or be joined with the next one.
func TestF10_aTornLastLineIsPassedOverAndKeptApart(t *testing.T) {
	for name, whole := range map[string]int{"after whole lines": 2, "alone": 0} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dlq.jsonl")
			w := open(t, path)
			for range whole {
				if err := w.Write(t.Context(), letter()); err != nil {
					t.Fatal(err)
				}
			}
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(f, `{"value":"%s`, strings.Repeat("x", 200_000)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if n := len(all(t, path)); n != whole {
				t.Errorf("%d letters are read, want %d", n, whole)
			}
			if err := open(t, path).Write(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			var n, torn int
			for _, err := range ReadFile(path) {
				if n++; errors.Is(err, errIncompleteLine) {
					torn = n
				} else if err != nil {
					t.Error(err)
				}
			}
			if n != whole+2 || torn != whole+1 {
				t.Errorf("%d lines, of which line %d is torn, after one more; want %d and %d", n, torn, whole+2, whole+1)
			}
		})
	}
}

func TestReadFile_namesABrokenLineAndGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dlq.jsonl")
	good, err := encodeLine(letter())
	if err != nil {
		t.Fatal(err)
	}
	lines := [][]byte{good, []byte("{\n"), []byte(`{"key":{"x":1}}` + "\n"), []byte(`{"key":1}` + "\n"), []byte(`{"headers":[]}` + "\n"), good}
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for l, err := range ReadFile(path) {
		if err == nil {
			got = append(got, l.Flow)
			continue
		}
		msg, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), path+": "), "\n")
		got = append(got, msg)
	}
	want := []string{
		"order-events", "line 2: unfinished, because of a crash or a full disk; it was never reported as stored",
		`line 3: not a dead letter: bytes are neither a string nor {"base64": …}`,
		`line 4: not a dead letter: bytes are neither a string nor {"base64": …}`,
		"line 5: not a dead letter of fiso: header fiso-original-topic is missing", "order-events",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, err := range ReadFile(path) {
		if err != nil {
			t.Error(err)
		}
		break // may stop at any time
	}
	for _, err := range ReadFile(path + ".not") {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a file that is not there: %v", err)
		}
	}
	for _, err := range read(&failing{}) {
		if !errors.Is(err, errDisk) {
			t.Errorf("a disk that fails: %v", err)
		}
	}
}

var errDisk = errors.New("no space left on device")

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errDisk }

// faultyDisk is a file with injected failures that counts syncs.
type faultyDisk struct {
	disk
	syncs                       int
	stat, write, sync, truncate error
	writing, syncing            func()
}

// withDisk is a File on a disk that can fail.
func withDisk(t *testing.T) (*File, *faultyDisk, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dlq.jsonl")
	w := open(t, path)
	d := &faultyDisk{disk: w.file}
	w.file = d
	return w, d, path
}

func (d *faultyDisk) Write(p []byte) (int, error) {
	if d.writing != nil {
		d.writing()
	}
	if d.write != nil {
		n, err := d.disk.Write(p[:len(p)/2])
		return n, errors.Join(d.write, err)
	}
	return d.disk.Write(p)
}

func (d *faultyDisk) Sync() error {
	d.syncs++
	if d.syncing != nil {
		d.syncing()
	}
	if d.sync != nil {
		return d.sync
	}
	return d.disk.Sync()
}

func (d *faultyDisk) Stat() (os.FileInfo, error) {
	if d.stat != nil {
		return nil, d.stat
	}
	return d.disk.Stat()
}

func (d *faultyDisk) Truncate(size int64) error {
	if d.truncate != nil {
		return d.truncate
	}
	return d.disk.Truncate(size)
}

// U17: the rest of a failed write is cut off, or at least ended before the next
// letter.
func TestFile_aFailedWriteSpoilsNoOtherLetter(t *testing.T) {
	for _, tc := range []struct {
		name string
		disk faultyDisk
		torn int
	}{
		{"disk full", faultyDisk{write: errDisk}, 0},
		{"a sync that fails", faultyDisk{sync: errDisk}, 0},
		{"and cannot be cut", faultyDisk{write: errDisk, truncate: errDisk}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, d, path := withDisk(t)
			if err := w.Write(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			d.write, d.sync, d.truncate = tc.disk.write, tc.disk.sync, tc.disk.truncate
			for range 2 {
				if err := w.Write(t.Context(), letter()); !errors.Is(err, errDisk) {
					t.Errorf("Write: %v", err)
				}
			}
			d.write, d.sync, d.truncate = nil, nil, nil
			if err := w.Write(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			n, torn := 0, 0
			for _, err := range ReadFile(path) {
				switch {
				case err == nil:
					n++
				case errors.Is(err, errIncompleteLine):
					torn++
				default:
					t.Error(err)
				}
			}
			if n != 2 || torn != tc.torn {
				t.Errorf("%d letters and %d torn lines; want the two that were stored, and %d", n, torn, tc.torn)
			}
		})
	}
}

// collected returns how many bytes wait for a sync.
func (w *File) collected() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		return 0
	}
	return len(w.next.data)
}

func TestFile_writersShareASync(t *testing.T) {
	w, d, path := withDisk(t)
	first := make(chan struct{})
	release := make(chan struct{})
	d.syncing = func() {
		if d.syncs == 1 {
			close(first)
			<-release
		}
	}
	var writers sync.WaitGroup
	write := func() {
		if err := w.Write(context.Background(), letter()); err != nil {
			t.Error(err)
		}
	}
	writers.Go(write)
	<-first
	line, err := encodeLine(letter())
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		writers.Go(write)
	}
	for joined := 0; joined < 50*len(line); joined = w.collected() {
		runtime.Gosched() // until all wait for the next sync
	}
	ctx, cancel := context.WithCancel(t.Context())
	impatient := make(chan error)
	go func() { impatient <- w.Write(ctx, letter()) }()
	for joined := 0; joined < 51*len(line); joined = w.collected() {
		runtime.Gosched()
	}
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) {
		t.Errorf("a write that stops waiting: %v", err)
	}
	if err := w.Write(ctx, letter()); !errors.Is(err, context.Canceled) {
		t.Errorf("a write that may not begin: %v", err)
	}
	if err := w.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close while a write is under way: %v", err)
	}
	close(release)
	writers.Wait()
	if d.syncs != 2 {
		t.Errorf("%d syncs for 51 letters, want 2", d.syncs)
	}
	if n := len(all(t, path)); n != 52 { // including the one whose Write stopped waiting
		t.Errorf("%d letters", n)
	}
}

func TestFile_closes(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "dlq.jsonl"))
	if err := errors.Join(w.Close(t.Context()), w.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if err := w.Write(t.Context(), letter()); !errors.Is(err, connector.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	w = open(t, filepath.Join(t.TempDir(), "dlq.jsonl"))
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a close that fails: %v", err)
	}
}

func TestOpenFile_saysWhatItCannotOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenFile(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := OpenFile(filepath.Join(dir, "no", "dlq.jsonl")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	if err := syncDir(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is gone: %v", err)
	}
	w := open(t, filepath.Join(dir, "f"))
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := lockable(w.file); err == nil || !strings.HasPrefix(err.Error(), "lock it: ") || !strings.HasSuffix(err.Error(), "; use a file system that has locks (flock)") {
		t.Errorf("a file that cannot be locked: %v", err)
	}
	if err := w.Write(t.Context(), letter()); err == nil || !strings.HasPrefix(err.Error(), "lock "+filepath.Join(dir, "f")+": ") {
		t.Errorf("a write to it: %v", err)
	}
	w.closed = true
}

func FuzzReadFile(f *testing.F) {
	good, err := encodeLine(letter())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(good, good[:20]...))
	f.Add([]byte("{}\n{\"key\":{\"base64\":\"!\"}}\nnull\n[]\n"))
	f.Add([]byte(`{"headers":[{"name":null}]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		for l, err := range read(bytes.NewReader(data)) {
			n++
			if err != nil {
				continue
			}
			line, err := encodeLine(l)
			if err != nil {
				t.Fatalf("cannot be written again: %v", err)
			}
			again, err := parseLine(line)
			if err != nil {
				t.Fatal(err)
			}
			l.Reason = truncate(l.Reason)
			if !same(l, again) {
				t.Fatalf("%+v became %+v", l, again)
			}
		}
		if n != bytes.Count(data, []byte("\n")) {
			t.Fatalf("%d lines were read", n)
		}
	})
}
