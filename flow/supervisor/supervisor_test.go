package supervisor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/admin"
	"github.com/lsm/fiso/flow/spec"
)

func TestSupervisor_startsAllFlowsAndDrainsThemOnStop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1")
		in.expect("run orders/1/")
		if r := in.s.Report(); !r.Ready || len(r.Notes) != 0 {
			t.Errorf("report = %+v", r)
		}
		if err := in.finish(); err != nil {
			t.Fatal(err)
		}
		in.expect("drained orders/1/")
		if r := in.s.Report(); r.Ready || r.Flows[0].Problem != "stopping" || r.Notes[0] != "fiso-flow is stopping" {
			t.Errorf("report = %+v", r)
		}
	})
}

func TestSupervisor_refusesToStart(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []string
		build bool
		want  []string
	}{
		{"without a flow file", nil, false, []string{"no flow file", "fiso-flow init"}},
		{"with the faults of all files", []string{"a.yaml", "", "b.yaml", "orders", "c.yaml", "x pauesd"}, false,
			[]string{"a.yaml:1:1: the file is empty", `c.yaml:1:1: unknown key "pauesd"`}},
		{"with one name in two files", []string{"a.yaml", "orders", "b.yaml", "orders"}, false, []string{"orders is defined twice", "a.yaml", "b.yaml"}},
		{"with a flow that cannot be built", []string{"a.yaml", "good", "b.yaml", "orders"}, true, []string{"b.yaml: broken on purpose"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			env := newTestEnv()
			if tc.build {
				env.fault("build orders", broken)
			}
			for i := 0; i < len(tc.files); i += 2 {
				if err := os.WriteFile(filepath.Join(dir, tc.files[i]), []byte(tc.files[i+1]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := New(Options{Paths: []string{dir}, Load: env.load})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Run(t.Context())
			if err == nil {
				t.Fatal("started")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			for _, h := range env.takeHistory() {
				if h != "closed good//" {
					t.Errorf("started despite the fault: %s", h)
				}
			}
		})
	}
	s, err := New(Options{Paths: []string{"/does/not/exist"}, Load: newTestEnv().load})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "/does/not/exist does not exist") {
		t.Errorf("error = %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("options without a path pass")
	}
}

func TestReload_swapsAChangedVersionAndReplacesAChangedSource(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1 version=1", "b.yaml", "other source=1")
		in.takeHistory()
		in.put("a.yaml", "orders source=1 version=2")
		in.notify()
		in.expect("swapped orders/1/2")
		in.put("a.yaml", "orders source=2 version=2")
		in.notify()
		in.expect("drained orders/1/2", "run orders/2/2")
		in.put("a.yaml", "   orders source=2 version=2") // the same settings, written differently
		in.notify()
		in.expect()
		if n := in.counted("orders true"); n != 2 {
			t.Errorf("%d reloads were counted, not 2", n)
		}
		_ = in.finish()
	})
}

func TestReload_findsChangesByPolling(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders version=1")
		in.put("a.yaml", "orders version=2")
		in.advance(6 * time.Second) // without a notification
		in.expect("run orders//1", "swapped orders//2")
		_ = in.finish()
	})
}

func TestReload_ofAnInvalidFileKeepsTheRunningFlowAndReportsIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders version=1")
		in.takeHistory()
		in.put("a.yaml", "orders pauesd")
		in.notify()
		in.expect()
		r := in.s.Report()
		if !r.Ready || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], `unknown key "pauesd"`) {
			t.Errorf("report = %+v", r)
		}
		if in.isValid("orders") || in.counted("orders false") != 1 {
			t.Errorf("reloads = %d", in.counted("orders false"))
		}
		if !in.logged("pauesd") {
			t.Error("the log does not say why")
		}
		in.advance(time.Minute) // logged once, however often it is polled
		if in.counted("orders false") != 1 {
			t.Errorf("counted %d times", in.counted("orders false"))
		}
		in.put("a.yaml", "orders version=3")
		in.notify()
		in.expect("swapped orders//3")
		if r := in.s.Report(); len(r.Notes) != 0 || !in.isValid("orders") {
			t.Errorf("the note stays: %+v", r)
		}
		_ = in.finish()
	})
}

// F14: a half-written file never becomes the running flow, even if it is valid.
// https://github.com/jimmidyson/configmap-reload/issues/190
func TestReload_neverLoadsAHalfWrittenFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders version=1")
		in.takeHistory()
		for i, text := range []string{"", "ord", "orders", "orders version", "orders version=2"} {
			in.put("a.yaml", text)
			in.watcher.signal()
			in.advance(time.Duration(60+i) * time.Millisecond)
			in.expect()
		}
		in.advance(250 * time.Millisecond)
		in.expect("swapped orders//2")
		_ = in.finish()
	})
}

// F13: a reload that arrives during another one is not dropped.
// https://github.com/fluent/fluent-bit/issues/8457
func TestReload_appliesTheLastOfManySaves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=0")
		in.takeHistory()
		// The old pipeline drains slowly while the file is saved several times.
		in.fault("drain orders", func(context.Context) error {
			time.Sleep(10 * time.Second) // virtual time
			return nil
		})
		for _, n := range []string{"1", "2", "3", "4"} {
			in.put("a.yaml", "orders source="+n)
			in.notify()
		}
		in.advance(time.Minute)
		in.expect("drained orders/0/", "run orders/1/", "drained orders/1/", "run orders/4/")
		in.fault("drain orders", nil)
		_ = in.finish()
	})
}

// F13: https://github.com/vectordotdev/vector/issues/24125
func TestReload_doesNotDelayOtherFlows(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "slow source=1 version=1", "b.yaml", "quick version=1")
		in.takeHistory()
		in.fault("swap slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		in.put("a.yaml", "slow source=1 version=2")
		in.notify()
		in.put("b.yaml", "quick version=2")
		in.notify()
		in.expect("swapped quick//2")
		in.advance(31 * time.Second) // the swap hangs and ends in a replacement
		in.expect("drained slow/1/1", "run slow/1/2")
		_ = in.finish()
	})
}

func TestReload_thatCannotBeBuiltKeepsTheOldFlowAndRetries(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1")
		in.takeHistory()
		in.fault("build orders", broken)
		in.put("a.yaml", "orders source=2")
		in.notify()
		in.expect()
		f := in.flow("orders")
		if f.Problem != "" || len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "broken on purpose") {
			t.Errorf("report = %+v", f)
		}
		in.fault("build orders", nil)
		in.advance(5 * time.Second)
		in.expect("drained orders/1/", "run orders/2/")
		if f := in.flow("orders"); len(f.Notes) != 0 {
			t.Errorf("notes stay: %v", f.Notes)
		}
		if in.counted("orders true") != 1 || in.counted("orders false") == 0 {
			t.Error("reloads are not counted")
		}
		_ = in.finish()
	})
}

func TestReload_thatCannotBeSwappedKeepsTheOldFlowAndRetries(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders version=1")
		in.takeHistory()
		in.fault("swap orders", broken)
		in.put("a.yaml", "orders version=2")
		in.notify()
		in.expect()
		// A newer plan does not wait for the retry of the older one.
		in.fault("swap orders", nil)
		in.put("a.yaml", "orders version=3")
		in.notify()
		in.expect("swapped orders//3")
		_ = in.finish()
	})
}

// U2: a panic on one file, in any step, is logged with its stack, and every flow keeps running.
func TestReload_thatPanicsIsAFaultOfItsFile(t *testing.T) {
	for name, tc := range map[string]struct{ step, change string }{
		"while it is read":    {"load", "orders version=2"},
		"while it is built":   {"build orders", "orders source=2"},
		"while it is swapped": {"swap orders", "orders version=2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				in := start(t, dir, "a.yaml", "orders", "b.yaml", "billing")
				in.takeHistory()
				in.fault(tc.step, func(context.Context) error {
					return spec.Guard("a.yaml", func() error { panic("canary") })
				})
				in.put("a.yaml", tc.change)
				in.notify()
				in.expect()
				report := in.s.Report()
				said := append(report.Notes, in.flow("orders").Notes...)
				if !report.Ready || len(said) != 1 || !strings.Contains(said[0], "fiso-flow panicked on this file, which is a bug in fiso-flow") {
					t.Errorf("report = %+v", report)
				}
				if !in.logged("recovered panic in flow") || !in.logged("supervisor_test.go") || in.logged("canary") {
					t.Errorf("logged %s", in.logs.String())
				}
				in.fault(tc.step, nil)
				in.put("a.yaml", tc.change+" refs="+filepath.Join(dir, "b.yaml"))
				in.notify()
				if len(in.takeHistory()) == 0 {
					t.Error("the flow is not reloaded once the fault is gone")
				}
				_ = in.finish()
			})
		})
	}
}

// U2: at the start, too, it is a fault of the file.
func TestSupervisor_refusesToStartOnAPanic(t *testing.T) {
	for _, step := range []string{"load", "build orders"} {
		in := &instance{testEnv: newTestEnv(), t: t, dir: t.TempDir()}
		in.put("a.yaml", "orders")
		in.fault(step, func(context.Context) error { return spec.Guard("a.yaml", func() error { panic("canary") }) })
		s, err := New(Options{Paths: []string{in.dir}, Load: in.load, Logger: slog.New(slog.NewTextHandler(in.testEnv, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "a.yaml: fiso-flow panicked") || !in.logged("supervisor_test.go") ||
			in.logged("canary") {
			t.Errorf("%s: %v, logged %s", step, err, in.logs.String())
		}
	}
}

func TestPause_stopsTheFlowAndResumesIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1", "b.yaml", "held paused")
		in.expect("run orders/1/")
		in.put("a.yaml", "orders source=1 paused")
		in.notify()
		in.expect("drained orders/1/")
		r := in.s.Report()
		if f := in.flow("orders"); !r.Ready || f.Phase != "paused" || f.Problem != "" || len(f.Notes) != 1 {
			t.Errorf("report = %+v", f)
		}
		in.put("a.yaml", "orders source=1")
		in.notify()
		in.expect("run orders/1/")
		_ = in.finish()
	})
}

func TestFlow_thatEndsByItselfIsRestartedWithBackoff(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.expect("run orders//")
		in.fault("run orders", broken)
		in.fault("drain orders", nil)
		in.put("a.yaml", "orders source=2")
		in.notify()
		in.expect("drained orders//", "run orders/2/", "failed orders/2/")
		if p := in.flow("orders").Problem; p != "broken on purpose" || in.s.Report().Ready {
			t.Errorf("problem = %q", p)
		}
		in.advance(time.Minute)
		if n := len(in.takeHistory()) / 2; n < 4 || n > 7 { // 1, 2, 4, 8, 16, 32 s apart
			t.Errorf("%d starts within a minute", n)
		}
		in.fault("run orders", nil)
		in.advance(2 * time.Minute)
		in.expect("run orders/2/")
		if !in.s.Report().Ready {
			t.Error("not ready again")
		}
		_ = in.finish()
	})
}

func TestFlow_thatEndsWithoutAnErrorCountsAsFailed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		env := newTestEnv()
		fl := newFlow("orders", &fakePlan{env: env, name: "orders"}, nil, mustDefault(t, Options{Paths: []string{dir}, Load: env.load}))
		quit := make(chan struct{})
		early := &earlyEnd{quit: quit}
		fl.built = early
		fl.start(t.Context(), nil)
		close(quit)
		synctest.Wait()
		if r := fl.report(); r.Phase != "failed" || r.Problem != "the source stopped by itself" {
			t.Errorf("report = %+v", r)
		}
		fl.cancel()
		<-fl.done
	})
}

// earlyEnd is a pipeline whose Run returns nil without being stopped.
type earlyEnd struct {
	Pipeline
	quit chan struct{}
}

func (e *earlyEnd) Run(context.Context) error { <-e.quit; return nil }

func mustDefault(t *testing.T, o Options) Options {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestFlow_logsAnErrorOfTheDrain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders")
		in.fault("drain orders", broken)
		if err := in.finish(); err != nil {
			t.Error(err)
		}
		if !in.logged("flow stopped with an error") || !in.logged("broken on purpose") {
			t.Error("an error while draining is not logged")
		}
	})
}

// A pipeline that hangs forever is abandoned, but not its flow (F13).
// https://github.com/vectordotdev/vector/issues/15952,
// https://github.com/vectordotdev/vector/issues/25330
func TestFlow_thatDoesNotStopIsAbandoned(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders source=1")
		release := make(chan struct{})
		in.fault("drain orders", func(context.Context) error { <-release; return nil })
		in.put("a.yaml", "orders source=2")
		in.notify()
		if f := in.flow("orders"); f.Problem != "" || len(f.Notes) != 1 || f.Notes[0] != "draining before a reload" {
			t.Errorf("report = %+v", f)
		}
		in.advance(31 * time.Second)
		if !in.logged("flow did not stop in time") {
			t.Error("the log does not say so")
		}
		in.fault("drain orders", nil)
		_ = in.finish()
		close(release)
		synctest.Wait()
	})
}

func TestReport_showsTheStatusOfThePipeline(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in := start(t, dir, "a.yaml", "orders", "b.yaml", "a-quiet-one")
		in.testEnv.mu.Lock()
		in.status["orders"] = Status{Problem: "dead letter refused", Notes: []string{"a gap"}}
		in.testEnv.mu.Unlock()
		r := in.s.Report()
		if r.Ready || r.Flows[0].Name != "a-quiet-one" || r.Flows[1].Problem != "dead letter refused" || r.Flows[1].Notes[0] != "a gap" {
			t.Errorf("report = %+v", r)
		}
		if a := r.Admin(); a.Ready || !a.Checks[0].OK || a.Checks[1] != (admin.Check{Name: "flow orders", Reason: "dead letter refused"}) ||
			a.Notes[0] != "flow orders: a gap" {
			t.Errorf("admin report = %+v", a)
		}
		_ = in.finish()
	})
}
