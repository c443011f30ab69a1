package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlows_addsAndRemovesFlowsWithTheirFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.put("b.yaml", "extra")
		in.told()
		in.expect("run orders//", "run extra//")
		in.remove("b.yaml")
		in.told()
		in.expect() // a file must be away for the poll interval
		in.pass(6 * time.Second)
		in.expect("drained extra//")
		in.pass(6 * time.Second)
		if got := in.forgotten(); got != "extra" {
			t.Errorf("forgotten: %s", got)
		}
		_ = in.finish()
	})
}

// F14: a file that is away while it is replaced stops nothing.
// https://github.com/kubernetes/kubernetes/issues/93686
func TestFlows_survivesFilesThatAreAwayForAMoment(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders", "b.yaml", "other")
		in.take()
		in.remove("a.yaml")
		in.remove("b.yaml")
		in.told()
		in.pass(3 * time.Second)
		in.put("a.yaml", "orders")
		in.put("b.yaml", "other")
		in.told()
		in.pass(time.Minute)
		in.expect()
		_ = in.finish()
	})
}

func TestFlows_keepsAllFlowsWhileTheDirectoryIsAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders stage=1")
		in.take()
		if err := os.Rename(dir, dir+".old"); err != nil {
			t.Fatal(err)
		}
		in.pass(time.Minute)
		in.expect()
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "cannot be listed") {
			t.Errorf("report = %+v", r)
		}
		if err := os.Rename(dir+".old", dir); err != nil {
			t.Fatal(err)
		}
		in.put("a.yaml", "orders stage=2")
		in.pass(6 * time.Second)
		in.expect("swapped orders//2")
		if r := in.s.Report(); len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}

func TestFlows_isNotReadyOnceAllFilesAreGone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.remove("a.yaml")
		in.pass(15 * time.Second)
		in.expect("run orders//", "drained orders//")
		if got := in.forgotten(); got != "orders" {
			t.Errorf("forgotten: %s", got)
		}
		if r := in.s.Report(); r.Ready || !strings.Contains(r.Notes[0], "no flow") {
			t.Errorf("report = %+v", r)
		}
		in.put("a.yaml", "orders")
		in.told()
		in.expect("run orders//")
		_ = in.finish()
	})
}

func TestFlows_takesAMovedNameForTheSameFlow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1 stage=1")
		in.take()
		if err := os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")); err != nil {
			t.Fatal(err)
		}
		in.told()
		in.pass(10 * time.Second)
		in.expect()
		in.put("b.yaml", "orders source=1 stage=2")
		in.told()
		in.expect("swapped orders/1/2")
		_ = in.finish()
	})
}

func TestFlows_refusesASecondFileForAName(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "b.yaml", "orders", "c.yaml", "other")
		in.take()
		in.put("a.yaml", "orders source=2")
		in.put("c.yaml", "orders source=3")
		in.told()
		in.expect()
		r := in.s.Report()
		if !r.Ready || len(r.Notes) != 2 || !strings.Contains(r.Notes[0], "orders is defined twice") || len(r.Flows) != 2 {
			t.Errorf("report = %+v", r)
		}
		in.put("c.yaml", "other")
		in.remove("a.yaml")
		in.told()
		in.pass(6 * time.Second)
		in.expect()
		// The gauge of the file that never was a flow is dropped.
		if got := in.forgotten(); got != "a" {
			t.Errorf("forgotten: %s", got)
		}
		if r := in.s.Report(); len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}

func TestFlows_letsTwoFilesExchangeTheirNames(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "x stage=1", "b.yaml", "y stage=1")
		in.take()
		in.put("a.yaml", "y stage=2")
		in.put("b.yaml", "x stage=2")
		in.told()
		if h := strings.Join(in.take(), ","); h != "swapped x//2,swapped y//2" && h != "swapped y//2,swapped x//2" {
			t.Errorf("happened: %s", h)
		}
		_ = in.finish()
	})
}

// A flow that is renamed in its file waits for the old one to let go of its
// port and its partitions.
func TestFlows_startsARenamedFlowOnceTheOldHasDrained(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "old")
		in.put("a.yaml", "new")
		in.told()
		in.expect("run old//", "drained old//", "run new//")
		in.put("a.yaml", "old")
		in.told()
		in.expect("drained new//", "run old//")
		_ = in.finish()
	})
}

func TestFlows_followsTheFilesAFlowRefersTo(t *testing.T) {
	dir, refs := t.TempDir(), t.TempDir()
	ref := filepath.Join(refs, "topic")
	if err := os.WriteFile(ref, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders refs="+ref)
		if !strings.Contains(in.watcher.watched(), ref) {
			t.Errorf("watched: %s", in.watcher.watched())
		}
		in.pass(20 * time.Second)
		in.expect("run orders/one/")
		if err := os.WriteFile(ref, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.told()
		in.expect("drained orders/one/", "run orders/two/")
		if err := os.Remove(ref); err != nil {
			t.Fatal(err)
		}
		in.told()
		in.expect()
		if r := in.s.Report(); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no such file") {
			t.Errorf("report = %+v", r)
		}
		if err := os.WriteFile(ref, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.pass(11 * time.Second)
		in.expect()
		if r := in.s.Report(); len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}

// A new file whose reference comes later starts its flow then, though the file
// itself does not change.
func TestFlows_triesAFaultyFileAgain(t *testing.T) {
	dir, refs := t.TempDir(), t.TempDir()
	ref := filepath.Join(refs, "topic")
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.put("b.yaml", "late refs="+ref)
		in.told()
		in.expect("run orders//")
		if in.isValid("b") || in.counted("b false") != 1 {
			t.Errorf("reloads = %d", in.counted("orders false"))
		}
		if err := os.WriteFile(ref, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.pass(11 * time.Second)
		in.expect("run late/x/")
		if got := in.forgotten(); got != "b" {
			t.Errorf("forgotten: %s", got)
		} // it was known by its file's name
		in.put("c.yaml", "never pauesd")
		in.told()
		in.remove("c.yaml")
		in.pass(11 * time.Second)
		if got := in.forgotten(); got != "c" {
			t.Errorf("forgotten: %s", got)
		}
		_ = in.finish()
	})
}

func TestFlows_saysWhenAFileCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.remove("a.yaml")
		if err := os.Symlink(filepath.Join(dir, "..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
			t.Fatal(err)
		}
		in.told()
		in.pass(20 * time.Second)
		in.expect("run orders//")
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no such file") {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}
