package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// linter is the one tool that is fetched, built once and kept in .cache/bin.
const (
	linterPackage = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"
	linterVersion = "v2.15.0"
)

// Lint looks at the form of every Go file, then runs the linters that
// .golangci.yml names; go vet is one of them.
func (p *Pipeline) Lint(ctx context.Context) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	if err := p.gofmt(r, modules); err != nil {
		return err
	}
	linter, err := p.linter(ctx)
	if err != nil {
		return err
	}
	var failed []string
	for _, m := range modules {
		patterns := m.Patterns()
		if len(patterns) == 0 {
			continue
		}
		tags := "integration"
		if m.Dir == "." {
			tags, patterns = "mage", append(patterns, ".")
		}
		args := append([]string{linter, "run", "--allow-parallel-runners", "--config=" + r.Abs(".golangci.yml"), "--build-tags=" + tags}, patterns...)
		p.say("linting %s", m.Path)
		if err := (repo.Cmd{Dir: m.Abs(), Out: p.Out, Args: args}).Run(ctx); err != nil {
			failed = append(failed, m.Dir)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("the linter refuses %s: what it says stands above; a false alarm is silenced with //nolint:name // reason", strings.Join(failed, ", "))
	}
	return nil
}

// gofmt refuses a file that gofmt would change.
func (p *Pipeline) gofmt(r *repo.Repo, modules []*repo.Module) error {
	bad := 0
	for _, m := range modules {
		for _, file := range m.Files {
			if !isGo(file) || strings.Contains(file, "testdata/") {
				continue
			}
			src, err := r.Read(file)
			if err != nil {
				return err
			}
			made, err := format.Source(src)
			if err == nil && bytes.Equal(src, made) {
				continue
			}
			bad++
			p.say("%s: not in gofmt's form; run: gofmt -w %s", file, file)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d files are not in gofmt's form", bad)
	}
	return nil
}

// linter gives the linter, after building it where it is not there yet. It is
// built outside the workspace, with the versions its authors chose.
func (p *Pipeline) linter(ctx context.Context) (string, error) {
	dir, err := p.dir(".cache", "bin", linterVersion+"-"+runtime.Version())
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "golangci-lint")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if _, err := os.Stat(name); err == nil {
		return name, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for the linter: %w", err)
	}
	p.say("building golangci-lint %s, once (some two minutes)", linterVersion)
	install := repo.Cmd{Dir: p.Root, Env: []string{"GOWORK=off", "GOFLAGS=", "GOBIN=" + dir}, Args: []string{"go", "install", linterPackage + "@" + linterVersion}}
	if err := install.Run(ctx); err != nil {
		return "", fmt.Errorf("building the linter: %w", err)
	}
	return name, nil
}
