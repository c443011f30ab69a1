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
		in.notify()
		in.expect("run orders//", "run extra//")
		in.remove("b.yaml")
		in.notify()
		in.expect() // a file must be missing for the poll interval
		in.advance(6 * time.Second)
		in.expect("drained extra//")
		in.advance(6 * time.Second)
		if got := in.deletedGauges(); got != "extra" {
			t.Errorf("deleted gauges: %s", got)
		}
		_ = in.finish()
	})
}

// F14: a file that is missing while it is replaced stops nothing.
// https://github.com/kubernetes/kubernetes/issues/93686
func TestFlows_keepsFlowsWhoseFilesAreBrieflyMissing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders", "b.yaml", "other")
		in.takeHistory()
		in.remove("a.yaml")
		in.remove("b.yaml")
		in.notify()
		in.advance(3 * time.Second)
		in.put("a.yaml", "orders")
		in.put("b.yaml", "other")
		in.notify()
		in.advance(time.Minute)
		in.expect()
		_ = in.finish()
	})
}

func TestFlows_keepsAllFlowsWhileTheDirectoryIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders version=1")
		in.takeHistory()
		if err := os.Rename(dir, dir+".old"); err != nil {
			t.Fatal(err)
		}
		in.advance(time.Minute)
		in.expect()
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "cannot be listed") {
			t.Errorf("report = %+v", r)
		}
		if err := os.Rename(dir+".old", dir); err != nil {
			t.Fatal(err)
		}
		in.put("a.yaml", "orders version=2")
		in.advance(6 * time.Second)
		in.expect("swapped orders//2")
		if r := in.s.Report(); len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}

func TestFlows_isNotReadyAfterAllFilesWereRemoved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.remove("a.yaml")
		in.advance(15 * time.Second)
		in.expect("run orders//", "drained orders//")
		if got := in.deletedGauges(); got != "orders" {
			t.Errorf("deleted gauges: %s", got)
		}
		if r := in.s.Report(); r.Ready || !strings.Contains(r.Notes[0], "no flow") {
			t.Errorf("report = %+v", r)
		}
		in.put("a.yaml", "orders")
		in.notify()
		in.expect("run orders//")
		_ = in.finish()
	})
}

func TestFlows_keepsAFlowWhoseFileWasRenamed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1 version=1")
		in.takeHistory()
		if err := os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.advance(10 * time.Second)
		in.expect()
		in.put("b.yaml", "orders source=1 version=2")
		in.notify()
		in.expect("swapped orders/1/2")
		_ = in.finish()
	})
}

func TestFlows_refusesASecondFileForAName(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "b.yaml", "orders", "c.yaml", "other")
		in.takeHistory()
		in.put("a.yaml", "orders source=2")
		in.put("c.yaml", "orders source=3")
		in.notify()
		in.expect()
		r := in.s.Report()
		if !r.Ready || len(r.Notes) != 2 || !strings.Contains(r.Notes[0], "orders is defined twice") || len(r.Flows) != 2 {
			t.Errorf("report = %+v", r)
		}
		in.put("c.yaml", "other")
		in.remove("a.yaml")
		in.notify()
		in.advance(6 * time.Second)
		in.expect()
		// The gauge of a file that never defined a flow is deleted.
		if got := in.deletedGauges(); got != "a" {
			t.Errorf("deleted gauges: %s", got)
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
		in := start(t, dir, "a.yaml", "x version=1", "b.yaml", "y version=1")
		in.takeHistory()
		in.put("a.yaml", "y version=2")
		in.put("b.yaml", "x version=2")
		in.notify()
		if h := strings.Join(in.takeHistory(), ","); h != "swapped x//2,swapped y//2" && h != "swapped y//2,swapped x//2" {
			t.Errorf("calls: %s", h)
		}
		_ = in.finish()
	})
}

// A renamed flow waits until the old one has released its port and partitions.
func TestFlows_startsARenamedFlowAfterTheOldOneDrained(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "old")
		in.put("a.yaml", "new")
		in.notify()
		in.expect("run old//", "drained old//", "run new//")
		in.put("a.yaml", "old")
		in.notify()
		in.expect("drained new//", "run old//")
		_ = in.finish()
	})
}

func TestFlows_reloadsWhenAReferencedFileChanges(t *testing.T) {
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
		in.advance(20 * time.Second)
		in.expect("run orders/one/")
		if err := os.WriteFile(ref, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.expect("drained orders/one/", "run orders/two/")
		if err := os.Remove(ref); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.expect()
		if r := in.s.Report(); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no such file") {
			t.Errorf("report = %+v", r)
		}
		if err := os.WriteFile(ref, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.advance(11 * time.Second)
		in.expect()
		if r := in.s.Report(); len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}

// A new file whose reference appears later starts its flow then, although the file itself does not
// change.
func TestFlows_loadsAFaultyFileAgainWhenItsReferenceAppears(t *testing.T) {
	dir, refs := t.TempDir(), t.TempDir()
	ref := filepath.Join(refs, "topic")
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.put("b.yaml", "late refs="+ref)
		in.notify()
		in.expect("run orders//")
		if in.isValid("b") || in.counted("b false") != 1 {
			t.Errorf("reloads = %d", in.counted("orders false"))
		}
		if err := os.WriteFile(ref, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		in.advance(11 * time.Second)
		in.expect("run late/x/")
		if got := in.deletedGauges(); got != "b" {
			t.Errorf("deleted gauges: %s", got)
		} // it was labelled with its file name
		in.put("c.yaml", "never pauesd")
		in.notify()
		in.remove("c.yaml")
		in.advance(11 * time.Second)
		if got := in.deletedGauges(); got != "c" {
			t.Errorf("deleted gauges: %s", got)
		}
		_ = in.finish()
	})
}

func TestFlows_reportsAFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.remove("a.yaml")
		if err := os.Symlink(filepath.Join(dir, "..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
			t.Fatal(err)
		}
		in.notify()
		in.advance(20 * time.Second)
		in.expect("run orders//")
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no such file") {
			t.Errorf("report = %+v", r)
		}
		_ = in.finish()
	})
}
