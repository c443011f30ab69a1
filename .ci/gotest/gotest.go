// Package gotest runs tests by gotestsum, which prints a line for each package
// and what a failed test said, and reads how much of the code they reached.
package gotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// Options say which tests to run and what to ask of them.
type Options struct {
	// Root is the absolute folder that the tests run from.
	Root string
	// Tools is the folder of the module whose go.mod names gotestsum.
	Tools string
	// Out receives the report.
	Out io.Writer
	// Packages are patterns of packages, seen from Root.
	Packages []string
	// Args are further arguments of `go test`.
	Args []string
	// Profile is the absolute file to keep what the tests reached of the modules
	// in; empty does not measure.
	Profile string
	// Modules are those to measure.
	Modules []*repo.Module
	// NoRace leaves the race detector out, for tests that need the time.
	NoRace bool
	// NoSkips makes a skipped test a failure.
	NoSkips bool
	// Env are settings for the tests.
	Env []string
}

// ErrFailed is what Run and Coverage return, wrapped, when a test or a bound
// failed. What failed has been printed by then.
var ErrFailed = errors.New("not all is well")

// Run tests all packages with one `go test`, which compiles what they share
// once. go vet is the linter's work.
func Run(ctx context.Context, opts Options) error {
	sum, err := tool(ctx, opts.Tools, "gotestsum")
	if err != nil {
		return err
	}
	events, err := os.CreateTemp("", "fiso-test-*.json")
	if err != nil {
		return fmt.Errorf("making a file for the events of the tests: %w", err)
	}
	defer os.Remove(events.Name()) //nolint:errcheck // a leftover in the temporary folder harms nobody
	defer events.Close()           //nolint:errcheck // only read from

	args := []string{
		sum, "--format=pkgname-and-test-fails", "--format-hide-empty-pkg", "--jsonfile-timing-events=" + events.Name(),
		"--", "-shuffle=on", "-vet=off",
	}
	if !opts.NoRace {
		if note := withoutRace(ctx); note == "" {
			args = append(args, "-race")
		} else {
			fmt.Fprintln(opts.Out, note)
		}
	}
	if opts.Profile != "" {
		args = append(args, "-covermode=atomic", "-coverpkg="+ownPackages(opts.Modules), "-coverprofile="+opts.Profile)
	}
	args = append(append(args, opts.Args...), opts.Packages...)
	err = repo.Cmd{Dir: opts.Root, Env: opts.Env, Out: opts.Out, Args: args}.Run(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("testing: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("tests: %w, see above", ErrFailed)
	}
	if n := skipped(events); n > 0 && opts.NoSkips {
		return fmt.Errorf("tests: %w: %d were skipped, and none may be here", ErrFailed, n)
	}
	return nil
}

// tool gives the path of a tool that a go.mod names, after building it where it is not there yet.
func tool(ctx context.Context, dir, name string) (string, error) {
	out, err := repo.Cmd{Dir: dir, Args: []string{"go", "tool", "-n", name}}.Output(ctx)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// ownPackages are patterns for all packages of the modules. The root module's
// covers every other: their paths begin with its path.
func ownPackages(modules []*repo.Module) string {
	var patterns []string
	for _, m := range modules {
		patterns = append(patterns, m.Path+"/...")
		if m.Dir == "." {
			break
		}
	}
	return strings.Join(patterns, ",")
}

// withoutRace says why -race cannot be used, if so: it needs cgo, which Go
// turns off by itself where there is no C compiler.
func withoutRace(ctx context.Context) string {
	enabled, err := repo.Cmd{Args: []string{"go", "env", "CGO_ENABLED"}}.Output(ctx)
	if err != nil {
		return "running without -race: " + err.Error()
	}
	if strings.TrimSpace(string(enabled)) != "1" {
		return "running without -race: no C compiler found (install gcc to have the race detector)"
	}
	return ""
}

// skipped counts the tests that were skipped.
func skipped(events io.Reader) (n int) {
	lines := json.NewDecoder(events)
	for {
		var event struct{ Action, Test string }
		if lines.Decode(&event) != nil {
			return n
		}
		if event.Action == "skip" && event.Test != "" {
			n++
		}
	}
}
