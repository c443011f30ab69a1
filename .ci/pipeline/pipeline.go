// Package pipeline is what the targets of the magefile do: it puts the steps
// together from the packages beside it and tells how they went.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/lsm/fiso/.ci/gotest"
	"github.com/lsm/fiso/.ci/repo"
)

// coverage is what the tests must reach of each module's own code. What e2e
// holds are programs that run whole processes against each other and judge them:
// what counts is what they find there. Their logic has tests all the same.
var coverage = gotest.Bound{Percent: 95, Unbound: []string{"e2e"}}

// Pipeline works on the tree at Root and prints to Out. Every method reads the
// tree anew, since some of them change it. Methods are not made to run side by side.
type Pipeline struct {
	// Root is the top of the repository.
	Root string
	// Out receives what a person reads.
	Out io.Writer
	// Module restricts the work to the module in that folder; empty means all.
	Module string
	// Tools is the folder of the module whose go.mod names the tools; empty means Root.
	Tools string
}

// open reads the tree and selects the modules to work on.
func (p *Pipeline) open(ctx context.Context) (*repo.Repo, []*repo.Module, error) {
	r, err := repo.Open(ctx, p.Root)
	if err != nil {
		return nil, nil, err
	}
	if r.Note != "" {
		p.say("%s", r.Note)
	}
	modules, err := r.Select(p.Module)
	return r, modules, err
}

func (p *Pipeline) say(format string, args ...any) {
	fmt.Fprintf(p.Out, format+"\n", args...)
}

// step runs one part of a longer target and tells how long it took.
func (p *Pipeline) step(ctx context.Context, name string, do func(context.Context) error) error {
	p.say("── %s", name)
	began := time.Now()
	err := do(ctx)
	word := "good"
	if err != nil {
		word = "FAILED"
	}
	p.say("── %s: %s after %s", name, word, time.Since(began).Round(100*time.Millisecond))
	return err
}

// dir makes a folder below the pipeline's own ones (.build, .cache), which git
// ignores, and gives its absolute path.
func (p *Pipeline) dir(elem ...string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(append([]string{p.Root}, elem...)...))
	if err != nil {
		return "", fmt.Errorf("finding a folder for the pipeline: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a folder for the pipeline: %w", err)
	}
	return dir, nil
}

// Test runs the tests of the modules with the race detector, all at once, and
// measures how much of each module's own code they reach together. It tells them to be short: what
// tries many seeds or takes long does less, or is left to TestAll.
func (p *Pipeline) Test(ctx context.Context) error { return p.test(ctx, true) }

// TestAll runs the tests in full, module after module: what a module's code is
// reached by has to be its own tests.
func (p *Pipeline) TestAll(ctx context.Context) error {
	_, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range modules {
		one := *p
		one.Module = m.Dir
		failed = append(failed, one.test(ctx, false))
	}
	return errors.Join(failed...)
}

func (p *Pipeline) test(ctx context.Context, short bool) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	opts := p.testOptions(r, modules)
	if opts.Profile, err = p.profile(); err != nil {
		return err
	}
	if short {
		// Many packages mostly wait, so five at a time keep two cores busy.
		opts.Args = []string{"-short", "-p=5"}
	}
	for _, m := range modules {
		for _, pattern := range m.Patterns() {
			opts.Packages = append(opts.Packages, below(m, pattern))
		}
	}
	if len(opts.Packages) == 0 {
		return nil
	}
	err = gotest.Run(ctx, opts)
	if err == nil || errors.Is(err, gotest.ErrFailed) {
		err = errors.Join(err, p.virtual(ctx, r, opts, short))
	}
	if err != nil {
		return err
	}
	return gotest.Coverage(p.Out, opts.Profile, modules, coverage)
}

func (p *Pipeline) testOptions(r *repo.Repo, modules []*repo.Module) gotest.Options {
	return gotest.Options{Root: r.Root, Tools: cmp.Or(p.Tools, r.Root), Out: p.Out, Modules: modules}
}

// profile is the absolute file that keeps what the last run of the tests
// reached, of one module or of all.
func (p *Pipeline) profile() (string, error) {
	dir, err := p.dir(".build", "cover")
	return filepath.Join(dir, cmp.Or(strings.ReplaceAll(p.Module, "/", "_"), "all")+".out"), err
}

// below is a pattern of packages in a module, seen from the repository.
func below(m *repo.Module, pattern string) string { return "./" + path.Join(m.Dir, pattern) }

// Build compiles every package and puts the commands into .build/bin.
func (p *Pipeline) Build(ctx context.Context) error {
	_, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	bin, err := p.dir(".build", "bin")
	if err != nil {
		return err
	}
	for _, m := range modules {
		patterns := m.Patterns()
		if len(patterns) == 0 {
			continue
		}
		p.say("building %s", m.Path)
		if err := p.goTool(ctx, m, append([]string{"build"}, patterns...)...); err != nil {
			return err
		}
		for _, dir := range commands(m) {
			if err := p.goTool(ctx, m, "build", "-o", bin+string(filepath.Separator), "./"+dir); err != nil {
				return err
			}
			p.say("built .build/bin/%s", filepath.Base(dir))
		}
	}
	return nil
}

// goTool runs the go command in a module's folder.
func (p *Pipeline) goTool(ctx context.Context, m *repo.Module, args ...string) error {
	return repo.Cmd{Dir: m.Abs(), Out: p.Out, Args: append([]string{"go"}, args...)}.Run(ctx)
}
