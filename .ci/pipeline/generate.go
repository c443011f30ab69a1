package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/tidy"
)

// generateEnv makes tests whose name starts with TestGenerated write the file
// that they otherwise compare with what the code would make.
const generateEnv = "FISO_GENERATE=1"

var (
	generateLine  = regexp.MustCompile(`(?m)^//go:generate (\S+)`)
	generatedTest = regexp.MustCompile(`(?m)^func (TestGenerated\w*)\(`)
)

// Generate makes all generated files anew: `go generate` where a file asks for
// it, and what the tests named TestGenerated… compare, such as the configuration
// tables of the READMEs. It names the files that changed.
func (p *Pipeline) Generate(ctx context.Context) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	before, err := fingerprint(r)
	if err != nil {
		return err
	}
	for _, m := range modules {
		asks, err := grep(r, m, isGo, generateLine)
		if err != nil {
			return err
		}
		if len(asks) > 0 {
			if err := p.goGenerate(ctx, m, asks); err != nil {
				return err
			}
		}
		tests, err := grep(r, m, isTest, generatedTest)
		if err != nil {
			return err
		}
		if len(tests) > 0 {
			args := append([]string{"go", "test", "-count=1", "-run=^TestGenerated"}, sortedKeys(tests)...)
			if err := (repo.Cmd{Dir: m.Abs(), Env: []string{generateEnv}, Args: args}).Run(ctx); err != nil {
				return fmt.Errorf("generating the files of %s: %w", m.Path, err)
			}
		}
	}
	changed, err := p.changedSince(ctx, before)
	if err == nil {
		p.tellChanged("generate", changed)
	}
	return err
}

// goGenerate runs `go generate` in the folders that ask for it: folder to the commands
// that it asks for. Where buf is one of them, it is there.
func (p *Pipeline) goGenerate(ctx context.Context, m *repo.Module, asks map[string][]string) error {
	var env []string
	for _, commands := range asks {
		if slices.Contains(commands, "buf") {
			var err error
			if env, _, err = p.withProtoTools(ctx); err != nil {
				return err
			}
			break
		}
	}
	return repo.Cmd{Dir: m.Abs(), Env: env, Out: p.Out, Args: append([]string{"go", "generate"}, sortedKeys(asks)...)}.Run(ctx)
}

// Tidy tidies every go.mod and go.sum and keeps go.work right.
func (p *Pipeline) Tidy(ctx context.Context) error {
	r, _, err := p.open(ctx)
	if err != nil {
		return err
	}
	changed, err := tidy.Run(ctx, r)
	if err == nil {
		p.tellChanged("tidy", changed)
	}
	return err
}

// Drift generates and tidies, and refuses a tree that this changes: what is
// generated is committed together with what it is made from.
func (p *Pipeline) Drift(ctx context.Context) error {
	r, _, err := p.open(ctx)
	if err != nil {
		return err
	}
	before, err := fingerprint(r)
	if err != nil {
		return err
	}
	if err := p.Generate(ctx); err != nil {
		return err
	}
	if err := p.Tidy(ctx); err != nil {
		return err
	}
	changed, err := p.changedSince(ctx, before)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return errors.New("generate and tidy changed the tree, look at it and commit it: " + strings.Join(changed, ", "))
	}
	return nil
}

func (p *Pipeline) tellChanged(target string, changed []string) {
	if len(changed) == 0 {
		p.say("%s: nothing to change", target)
	}
	for _, file := range changed {
		p.say("%s: changed %s", target, file)
	}
}

// fingerprint tells the content of every file of the tree.
func fingerprint(r *repo.Repo) (map[string][sha256.Size]byte, error) {
	sums := map[string][sha256.Size]byte{}
	for _, file := range r.Files {
		data, err := r.Read(file)
		if err != nil {
			return nil, err
		}
		sums[file] = sha256.Sum256(data)
	}
	return sums, nil
}

// changedSince names the files that came, went or changed since before.
func (p *Pipeline) changedSince(ctx context.Context, before map[string][sha256.Size]byte) ([]string, error) {
	r, err := repo.Open(ctx, p.Root)
	if err != nil {
		return nil, err
	}
	now, err := fingerprint(r)
	if err != nil {
		return nil, err
	}
	var changed []string
	for file, sum := range now {
		if old, ok := before[file]; !ok || old != sum {
			changed = append(changed, file)
		}
	}
	for file := range before {
		if _, ok := now[file]; !ok {
			changed = append(changed, file)
		}
	}
	slices.Sort(changed)
	return changed, nil
}
