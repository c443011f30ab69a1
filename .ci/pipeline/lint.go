package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"go/format"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// linter runs the linters that .golangci.yml names.
var linter = tool{"golangci-lint", "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", "v2.15.0", "some two minutes"}

// Lint looks at the form of every Go file, then runs the linters that
// .golangci.yml names; go vet is one of them. buf lints the protocols, and refuses a
// change that breaks their users.
func (p *Pipeline) Lint(ctx context.Context) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	if err := p.gofmt(r, modules); err != nil {
		return err
	}
	if err := p.protocols(ctx, r, modules); err != nil {
		return err
	}
	dir, err := p.install(ctx, linter.version, linter)
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
		args := append([]string{program(dir, linter.name), "run", "--allow-parallel-runners", "--config=" + r.Abs(".golangci.yml"), "--build-tags=" + tags}, patterns...)
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
