package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/.ci/repo"
)

// side is how many mutants are tried at the same time. Their tests wait more than
// they work.
const side = 4

// Options say which mutants to try, and where.
type Options struct {
	// Work is a folder that is there, for what is built.
	Work string
	// Only is how the names of the mutants to try begin; empty is all.
	Only string
	// Timeout is what a test binary gives itself. A mutant that makes the tests
	// hang is found by the panic that follows.
	Timeout time.Duration
	// Out receives the table.
	Out io.Writer
}

// Verdict is what became of a mutant.
type Verdict struct {
	*Mutant
	// By is the first test that failed; empty: it survived.
	By string
	// Took is the time for building and running its tests.
	Took time.Duration
	// Err says why it could not be tried: it does not apply, or does not compile.
	Err error
}

// ErrSurvived is what Run returns, wrapped, when the tests did not find a mutant.
var ErrSurvived = errors.New("the tests do not find it")

// Run tries the mutants, each laid over the tree in a folder of its own; the
// tree is not touched. Before that it runs their tests as they are, since a test
// that fails anyway finds nothing. It prints a table. The error joins all
// mutants that survived, that do not apply and that do not compile.
func Run(ctx context.Context, r *repo.Repo, o Options) error {
	all, err := Load(r)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m *Mutant) bool { return !strings.HasPrefix(filepath.Base(m.File), o.Only) })
	if len(all) == 0 {
		return fmt.Errorf("no mutant %s* in %s", o.Only, Dir)
	}
	shops := make(chan *workshop, side)
	for range cap(shops) {
		dir, err := os.MkdirTemp(o.Work, "") // of its own: two runs may go on side by side
		if err != nil {
			return fmt.Errorf("making a folder for a mutant: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // what stays is ignored, and goes with `mage clean`
		shops <- &workshop{repo: r, dir: dir, timeout: o.Timeout}
	}
	if err := sound(ctx, shops, all); err != nil {
		return err
	}
	verdicts := make([]chan Verdict, len(all))
	for i, m := range all {
		verdicts[i] = make(chan Verdict, 1)
		go func() {
			w := <-shops
			verdicts[i] <- w.try(ctx, m)
			shops <- w
		}()
	}
	return report(o.Out, verdicts)
}

// report prints the verdicts as they come, in order, and joins what is not well.
func report(out io.Writer, verdicts []chan Verdict) error {
	var faults []error
	fmt.Fprintln(out, "| F | fault | found by | s |\n|---|---|---|---|")
	for _, verdict := range verdicts {
		v := <-verdict
		by := v.By
		switch {
		case v.Err != nil:
			by = "ERROR, see below"
			faults = append(faults, v.Err)
		case by == "":
			by = "NOTHING"
			faults = append(faults, fmt.Errorf("%s: %s: %w", v.File, v.Fault, ErrSurvived))
		}
		fmt.Fprintf(out, "| %s | %s | %s | %.1f |\n", v.Hazard, v.Fault, by, v.Took.Seconds())
	}
	return errors.Join(faults...)
}

// workshop is a folder in which one mutant is built at a time: the files that
// it changes, laid over the tree's own as `go help build` says of -overlay, and
// the binary of the tests.
type workshop struct {
	repo    *repo.Repo
	dir     string
	timeout time.Duration
}

// overlay writes what to build in place of the tree's files.
func (w *workshop) overlay(changed map[string]string) error {
	replace := map[string]string{}
	for file, text := range changed {
		to := filepath.Join(w.dir, fmt.Sprintf("file%d.go", len(replace)))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
		replace[w.repo.Abs(file)] = to
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "overlay.json"), data, 0o644)
}

// sound runs the tests of all mutants with no mutant there.
func sound(ctx context.Context, shops chan *workshop, all []*Mutant) error {
	type pkg struct{ module, name string }
	patterns := map[pkg][]string{}
	for _, m := range all {
		for _, t := range m.Tests {
			p := pkg{t.Module, t.Package}
			if !slices.Contains(patterns[p], t.Run) {
				patterns[p] = append(patterns[p], t.Run)
			}
		}
	}
	faults := make(chan error)
	for p, runs := range patterns {
		go func() {
			w := <-shops
			by, said, err := w.test(ctx, nil, Tests{p.module, p.name, strings.Join(runs, "|")})
			shops <- w
			if err != nil {
				err = fmt.Errorf("the tests without a mutant: %w", err)
			} else if by != "" {
				err = fmt.Errorf("%s %s fails without a mutant, so it finds none:\n%s", p.module, by, said)
			}
			faults <- err
		}()
	}
	var joined error
	for range patterns {
		joined = errors.Join(joined, <-faults)
	}
	return joined
}

// try builds one mutant and runs its tests.
func (w *workshop) try(ctx context.Context, m *Mutant) (v Verdict) {
	v.Mutant = m
	began := time.Now()
	defer func() { v.Took = time.Since(began) }()
	changed, err := m.Apply(w.repo)
	if err != nil {
		v.Err = fmt.Errorf("%s: %w", m.File, err)
		return v
	}
	for _, t := range m.Tests {
		by, _, err := w.test(ctx, changed, t)
		if err != nil {
			v.Err = fmt.Errorf("%s: %w", m.File, err)
			return v
		}
		if by != "" {
			v.By = t.Module + " " + by
			return v
		}
	}
	return v
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// test builds the tests of a package and runs them. It returns the first that
// failed, or "", and what was said. What does not compile, and a pattern that
// no test matches, are errors: they find nothing.
func (w *workshop) test(ctx context.Context, changed map[string]string, t Tests) (by, said string, err error) {
	if err := w.overlay(changed); err != nil {
		return "", "", fmt.Errorf("laying a mutant over the tree: %w", err)
	}
	dir, bin := w.repo.Abs(t.Module), filepath.Join(w.dir, "tests")
	build := repo.Cmd{Dir: dir, Args: []string{"go", "test", "-c", "-vet=off", "-overlay=" + filepath.Join(w.dir, "overlay.json"), "-o", bin, t.Package}}
	if err := build.Run(ctx); err != nil {
		return "", "", fmt.Errorf("it does not compile: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*w.timeout)
	defer cancel()
	var out strings.Builder
	run := repo.Cmd{
		Dir: filepath.Join(dir, filepath.FromSlash(t.Package)), Out: &out,
		Args: []string{bin, "-test.run=" + t.Run, "-test.failfast", "-test.timeout=" + w.timeout.String()},
	}
	failed := run.Run(ctx)
	said = out.String()
	name := failedTest.FindStringSubmatch(said)
	switch {
	case failed == nil && strings.Contains(said, "no tests to run"):
		return "", said, fmt.Errorf("no test of %s %s matches %s", t.Module, t.Package, t.Run)
	case failed == nil:
		return "", said, nil
	case ctx.Err() != nil:
		return "", said, fmt.Errorf("the tests did not end by themselves: %w", ctx.Err())
	case strings.Contains(said, "panic: test timed out"):
		return "the timeout of " + t.Package + ": it hangs", said, nil
	case name != nil:
		return name[1], said, nil
	case strings.Contains(said, "\nFAIL") || strings.Contains(said, "panic: "):
		return t.Package + " as a whole", said, nil
	default:
		return "", said, fmt.Errorf("the tests of %s %s did not run: %w\n%s", t.Module, t.Package, failed, said)
	}
}
