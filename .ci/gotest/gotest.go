// Package gotest runs the tests of the modules and tells how they went: which
// failed and what they printed, which were skipped and why, and how much of
// each module's own code they reached.
package gotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lsm/fiso/.ci/repo"
)

// Options say which tests to run and what to ask of them.
type Options struct {
	// Out receives the report; nothing else is printed.
	Out io.Writer
	// Tags are build tags, such as integration. Tests with a tag are another
	// run of the same packages, so they are not measured for coverage.
	Tags string
	// Run is the pattern of the tests to run; empty runs all.
	Run string
	// Packages are the packages to test, by module folder, in place of all.
	Packages map[string][]string
	// MinCoverage is the share of each module's own code, in percent, that its
	// tests must reach; 0 does not measure.
	MinCoverage float64
	// Unbound are folders of modules whose coverage is told and not judged:
	// those that hold programs which try other programs, and fail by themselves.
	Unbound []string
	// NoRace leaves the race detector out, for tests that need the time.
	NoRace bool
	// NoSkips makes a skipped test a failure.
	NoSkips bool
	// Timeout bounds one package's tests; 0 leaves the go command's 10 minutes.
	Timeout time.Duration
	// Env are settings for the tests.
	Env []string
	// CoverDir is the absolute folder that keeps the coverage profiles.
	CoverDir string
}

// ErrFailed is what Run returns, wrapped, when a test or a bound failed. What
// failed has been printed by then.
var ErrFailed = errors.New("not all is well")

// Run tests the modules one after the other and prints a table at the end. It
// goes on after a module that failed, so that one run shows all faults.
func Run(ctx context.Context, modules []*repo.Module, opts Options) error {
	race, note := raceDetector(ctx)
	race = race && !opts.NoRace
	if note != "" && !opts.NoRace {
		fmt.Fprintln(opts.Out, note)
	}
	var results []*result
	for _, m := range modules {
		patterns := m.Patterns()
		if opts.Packages != nil {
			patterns = opts.Packages[m.Dir]
		}
		if len(patterns) == 0 {
			fmt.Fprintf(opts.Out, "?   \t%s\t[no Go files]\n", m.Path)
			continue
		}
		res, err := runModule(ctx, m, patterns, race, opts)
		if err != nil {
			return err
		}
		results = append(results, res)
	}
	return summarize(opts, results)
}

// raceDetector tells whether -race can be used: it needs cgo and a C compiler.
func raceDetector(ctx context.Context) (bool, string) {
	out, err := repo.Cmd{Args: []string{"go", "env", "CGO_ENABLED", "CC"}}.Output(ctx)
	if err != nil {
		return false, "running without -race: " + err.Error()
	}
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if name, _, _ := strings.Cut(compiler, " "); enabled == "1" && name != "" {
		if _, err := exec.LookPath(name); err == nil {
			return true, ""
		}
	}
	return false, "running without -race: no C compiler found (install gcc to have the race detector)"
}

func runModule(ctx context.Context, m *repo.Module, patterns []string, race bool, opts Options) (*result, error) {
	args := []string{"go", "test", "-json", "-shuffle=on"}
	if race {
		args = append(args, "-race")
	}
	if opts.Tags != "" {
		args = append(args, "-tags="+opts.Tags)
	}
	if opts.Run != "" {
		args = append(args, "-run="+opts.Run)
	}
	if opts.Timeout > 0 {
		args = append(args, "-timeout="+opts.Timeout.String())
	}
	profile := ""
	if opts.MinCoverage > 0 {
		own, err := packages(ctx, m, patterns)
		if err != nil {
			return nil, err
		}
		profile = ProfilePath(opts.CoverDir, m)
		args = append(args, "-covermode=atomic", "-coverpkg="+strings.Join(own, ","), "-coverprofile="+profile)
	}
	res := newResult(m)
	began := time.Now()
	events := newEventPrinter(opts.Out, res)
	// The exit code only repeats what the events say, but for a run that never
	// came to a test.
	err := repo.Cmd{Dir: m.Abs(), Env: opts.Env, Out: events, Args: append(args, patterns...)}.Run(ctx)
	events.close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("testing %s: %w", m.Path, ctx.Err())
	}
	if err != nil && res.failed == 0 {
		res.fail(fmt.Sprintf("go test: %v", err))
	}
	res.seconds = time.Since(began).Seconds()
	if profile != "" && res.failed == 0 {
		if res.coverage, err = readCoverage(m, profile); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// packages are the import paths of the module's packages.
func packages(ctx context.Context, m *repo.Module, patterns []string) ([]string, error) {
	out, err := repo.Cmd{Dir: m.Abs(), Args: append([]string{"go", "list"}, patterns...)}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the packages of %s: %w", m.Path, err)
	}
	return strings.Fields(string(out)), nil
}

// ProfilePath is where a module's coverage profile is kept.
func ProfilePath(dir string, m *repo.Module) string {
	name := strings.ReplaceAll(m.Dir, "/", "_")
	if m.Dir == "." {
		name = "root"
	}
	return filepath.Join(dir, name+".out")
}
