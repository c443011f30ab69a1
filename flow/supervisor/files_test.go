package supervisor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

// irregular are things at a path that are not regular files, and the reported fault of each.
var irregular = []struct {
	name, want string
	make       func(path string) error
}{
	{"a named pipe", "is a named pipe: only a regular file can be read", func(p string) error { return configtest.Pipe(p) }},
	{"a device without an end", "is a device: only a regular file can be read", func(p string) error { return os.Symlink("/dev/zero", p) }},
	{"a link to a directory", "is a directory: only a regular file can be read", func(p string) error { return os.Symlink(os.TempDir(), p) }},
	{"a socket", "is a socket: only a regular file can be read", func(p string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		return l.Close()
	}},
	{"a file that is too large", "is larger than 1 MiB", func(p string) error {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			return err
		}
		return os.Truncate(p, 1<<40)
	}},
}

// U16: a named pipe among the flow files stopped the supervisor for good: no reload, no answer to
// /readyz, no exit.
func TestSupervisor_keepsRunningNextToAnIrregularFile(t *testing.T) {
	for _, irregularFile := range irregular {
		t.Run(irregularFile.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				in := start(t, dir, "a.yaml", "orders version=1")
				in.takeHistory()
				path := filepath.Join(dir, "b.yaml")
				if err := irregularFile.make(path); err != nil {
					t.Fatal(err)
				}
				in.put("a.yaml", "orders version=2")
				in.notify()
				in.expect("swapped orders//2")
				r := in.s.Report()
				if want := "file is not valid and not in force: read flow file: " + path + " " + irregularFile.want; !r.Ready || len(r.Notes) != 1 || r.Notes[0] != want {
					t.Errorf("report = %+v, want %s", r, want)
				}
				if err := in.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// U16: the same in place of a secret.
func TestSupervisor_keepsRunningWithAnIrregularSecretFile(t *testing.T) {
	for _, irregularFile := range irregular {
		t.Run(irregularFile.name, func(t *testing.T) {
			dir, ref := t.TempDir(), filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(ref, []byte("s"), 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				in := start(t, dir, "a.yaml", "orders watches="+ref, "b.yaml", "other")
				in.takeHistory()
				if err := os.Remove(ref); err != nil {
					t.Fatal(err)
				}
				if err := irregularFile.make(ref); err != nil {
					t.Fatal(err)
				}
				in.put("b.yaml", "other version=2")
				in.notify()
				in.expect("swapped other//2")
				want := in.dir + "/a.yaml: cannot use a file that it refers to: " + ref + " " + irregularFile.want
				if r := in.s.Report(); !r.Ready || len(r.Notes) != 1 || !strings.HasSuffix(r.Notes[0], want) {
					t.Errorf("report = %+v, want %s", r, want)
				}
				if err := in.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// U20: a secret file that became empty was not reported.
func TestSupervisor_saysThatASecretIsEmptyOrAway(t *testing.T) {
	dir, ref := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	for _, bad := range []struct {
		name, want string
		make       func() error
	}{
		{"emptied", ref + " is empty: put the value there", func() error { return os.Truncate(ref, 0) }},
		{"blank", ref + " is empty: put the value there", func() error { return os.WriteFile(ref, []byte(" \n"), 0o600) }},
		{"missing", "open " + ref + ": no such file or directory", func() error { return os.Remove(ref) }},
	} {
		t.Run(bad.name, func(t *testing.T) {
			if err := os.WriteFile(ref, []byte("s"), 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				in := start(t, dir, "a.yaml", "orders watches="+ref)
				in.takeHistory()
				if err := bad.make(); err != nil {
					t.Fatal(err)
				}
				in.notify()
				in.advance(20 * time.Second)
				in.expect() // the flow keeps running
				want := in.dir + "/a.yaml: cannot use a file that it refers to: " + bad.want
				if r := in.s.Report(); !r.Ready || len(r.Notes) != 1 || r.Notes[0] != "file is not valid and not in force: "+want {
					t.Errorf("report = %+v, want %s", r, want)
				}
				if in.isValid("orders") || in.counted("orders false") != 1 || !in.logged(bad.want) {
					t.Errorf("valid %v, %d reloads failed, log %s", in.isValid("orders"), in.counted("orders false"), in.logs.String())
				}
				if err := os.WriteFile(ref, []byte("t"), 0o600); err != nil {
					t.Fatal(err)
				}
				in.notify()
				if r := in.s.Report(); len(r.Notes) != 0 || !in.isValid("orders") || !in.logged("flow file is valid again") {
					t.Errorf("report = %+v", r)
				}
				_ = in.finish()
			})
		})
	}
}

// A key in place of its file name is never shown.
func TestSupervisor_neverShowsThePathOfAFileThatNeverExisted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders watches=/c4n4ry")
		want := in.dir + "/a.yaml: cannot use a file that it refers to: no such file or directory: " +
			"make the file readable, or correct its path, under a key such as caFile, keyFile or tokenFile"
		if err := <-in.ended; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		in.stop()
	})
}

func TestSupervisor_refusesToStartWithAnEmptySecret(t *testing.T) {
	dir, ref := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(ref, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders watches="+ref)
		want := in.dir + "/a.yaml: cannot use a file that it refers to: " + ref + " is empty: put the value there"
		if err := <-in.ended; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		in.stop()
	})
}

// hangingMount makes reads below a path hang, like a network file system whose server is down.
type hangingMount struct {
	path    string
	release chan struct{}
}

func (m hangingMount) read(ctx context.Context, path string) ([]byte, error) {
	if !strings.HasPrefix(path, m.path) {
		return readFile(ctx, path)
	}
	return config.WithFileTimeout(ctx, path, func() ([]byte, error) {
		<-m.release
		return os.ReadFile(path)
	})
}

// U16: a read that hangs is a fault of its file and stops nothing else.
func TestSupervisor_reloadsWhileAFileSystemHangs(t *testing.T) {
	dir, mount := t.TempDir(), t.TempDir()
	for i := range 32 { // more than are read at a time
		name := fmt.Sprintf("%02d.yaml", i)
		if err := os.WriteFile(filepath.Join(mount, name), fmt.Appendf(nil, "flow-%02d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(mount, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		hanging := hangingMount{dir + "/0", make(chan struct{})} // 00.yaml to 09.yaml
		var hangs bool
		in := startWith(t, dir, func(s *Supervisor) {
			s.read = func(ctx context.Context, path string) ([]byte, error) {
				if hangs {
					return hanging.read(ctx, path)
				}
				return readFile(ctx, path)
			}
		}, "a.yaml", "orders version=1")
		in.takeHistory()
		hangs = true
		in.put("a.yaml", "orders version=2")
		in.watcher.signal()
		in.advance(time.Second) // the reads hang
		if r := in.s.Report(); !r.Ready {
			t.Errorf("report = %+v", r)
		}
		in.advance(10 * time.Second)
		in.expect("swapped orders//2")
		want := "file is not valid and not in force: read flow file: " + dir + "/00.yaml: the file system does not answer: check what is mounted there"
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 10 || r.Notes[0] != want {
			t.Errorf("report = %+v, want %s", r, want)
		}
		in.put("a.yaml", "orders version=3")
		in.notify() // a read that is known to hang is not awaited again
		in.expect("swapped orders//3")
		close(hanging.release)
		in.advance(10 * time.Second)
		in.expect()
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}

// U16: a read that hangs does not keep the process from exiting.
func TestSupervisor_stopsWhileAFileSystemHangs(t *testing.T) {
	for _, when := range []string{"start", "run"} {
		t.Run(when, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				hanging := hangingMount{dir + "/b", make(chan struct{})}
				files := []string{"a.yaml", "orders", "b.yaml", "other"}
				if when == "run" {
					files = files[:2]
				}
				in := startWith(t, dir, func(s *Supervisor) { s.read = hanging.read }, files...)
				in.put("b.yaml", "other")
				in.watcher.signal()
				in.advance(time.Second)
				begun := time.Now()
				if err := in.finish(); err != nil || time.Since(begun) != 0 {
					t.Errorf("ended after %v: %v", time.Since(begun), err)
				}
				close(hanging.release)
			})
		})
	}
}

// U16: reading files held the lock that /readyz takes.
func TestReport_answersWhileAFileIsLoaded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		release := make(chan struct{})
		in.fault("load b.yaml", func(context.Context) error { <-release; return nil })
		in.put("b.yaml", "other")
		in.notify()
		if r := in.s.Report(); !r.Ready || len(r.Flows) != 1 {
			t.Errorf("report = %+v", r)
		}
		close(release)
		synctest.Wait()
		in.expect("run orders//", "run other//")
		_ = in.finish()
	})
}

// U16: files that take long to parse do not delay the reload of others for long.
func TestReload_doesNotWaitForManyLargeFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "z.yaml", "orders version=1")
		in.takeHistory()
		large := map[string]string{}
		for i := range 10 {
			name := fmt.Sprintf("%d.yaml", i)
			large[name] = fmt.Sprintf("large-%d pauesd and more than in the other file", i)
			in.fault("load "+name, func(context.Context) error { time.Sleep(2 * time.Second); return nil }) // virtual
			in.put(name, large[name])
		}
		for _, version := range []string{"2", "3"} {
			in.put("z.yaml", "orders version="+version)
			in.watcher.signal()
			in.advance(7 * time.Second) // three of ten large files
			in.expect("swapped orders//" + version)
		}
		in.remove("9.yaml") // before it was loaded
		in.advance(time.Minute)
		in.expect()
		if r := in.s.Report(); len(r.Notes) != 9 {
			t.Errorf("report = %+v", r)
		}
		for name, content := range large {
			if got := in.loaded(content); got != 1 && name != "9.yaml" {
				t.Errorf("%s was loaded %d times", name, got)
			}
		}
		_ = in.finish()
	})
}

// U16: faulty files were read and parsed again every few seconds; 40 large ones kept two cores
// busy.
func TestReload_loadsEachContentOnce(t *testing.T) {
	dir, ref := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		late := "late refs=" + ref
		in.put("b.yaml", "never pauesd")
		in.put("c.yaml", late)
		in.put("d.yaml", "orders source=2")
		in.notify()
		in.advance(time.Minute)
		// The references of a file are known after it was loaded; then they are part of the
		// content.
		for content, want := range map[string]int{"never pauesd": 1, late: 2, "orders source=2": 1} {
			if got := in.loaded(content); got != want {
				t.Errorf("%q was loaded %d times, want %d", content, got, want)
			}
		}
		if r := in.s.Report(); len(r.Notes) != 3 {
			t.Errorf("report = %+v", r)
		}
		if err := os.WriteFile(ref, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.expect("run orders//", "run late/x/")
		in.remove("a.yaml") // the file that was in the way
		in.advance(11 * time.Second)
		in.expect("drained orders//", "run orders/2/")
		if r := in.s.Report(); len(r.Notes) != 1 || in.loaded("orders source=2") != 1 {
			t.Errorf("report = %+v, loaded %d times", r, in.loaded("orders source=2"))
		}
		_ = in.finish()
	})
}

// U16: a secret is missing for a moment while it is replaced, after the scan and when its flow
// file is loaded. The fault must not stay.
func TestReload_retriesAFailedLoadOnceIfItsFilesAreReadable(t *testing.T) {
	dir, ref := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(ref, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders refs="+ref)
		in.advance(10 * time.Second)
		in.takeHistory()
		before, failures := in.loaded("orders refs="+ref), 1
		in.fault("load a.yaml", func(context.Context) error {
			if failures--; failures >= 0 {
				return errBroken
			}
			return nil
		})
		if err := os.WriteFile(ref, []byte("y"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.expect()
		if r := in.s.Report(); len(r.Notes) != 1 {
			t.Errorf("report = %+v", r)
		}
		in.advance(10 * time.Second)
		in.expect("drained orders/x/", "run orders/y/")
		if r := in.s.Report(); len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		failures = 1000
		if err := os.WriteFile(ref, []byte("z"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.advance(time.Minute)
		if n := in.loaded("orders refs="+ref) - before; n != 4 {
			t.Errorf("loaded %d times, want twice for each content", n)
		}
		_ = in.finish()
	})
}

// U16: a missing file has no claim to the name of another one. While two files of one flow were
// removed, the flow of the second ran for seconds.
func TestReload_startsNoFlowFromAMissingFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.put("b.yaml", "orders source=2")
		in.notify()
		in.takeHistory()
		in.remove("b.yaml")
		in.notify()
		in.remove("a.yaml")
		in.notify()
		in.advance(time.Second)
		in.expect()
		in.advance(time.Minute)
		in.expect("drained orders//")
		_ = in.finish()
	})
}

// U16: the same for a file that was saved and is not read yet.
func TestReload_startsNoFlowFromReplacedContent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.put("b.yaml", "orders source=2")
		in.notify()
		in.takeHistory()
		in.put("b.yaml", "orders source=3")
		in.remove("a.yaml")
		in.notify()
		in.advance(time.Minute)
		in.expect("drained orders//", "run orders/3/")
		_ = in.finish()
	})
}

// A file that is back has its claim again, with the content that was read.
func TestReload_givesTheNameToAFileThatReturns(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.put("b.yaml", "orders source=2")
		in.notify()
		in.takeHistory()
		in.remove("b.yaml")
		in.notify()
		in.remove("a.yaml")
		in.notify()
		in.put("b.yaml", "orders source=2")
		in.notify()
		in.expect("drained orders//", "run orders/2/")
		if n := in.loaded("orders source=2"); n != 1 {
			t.Errorf("loaded %d times", n)
		}
		_ = in.finish()
	})
}
