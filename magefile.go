//go:build mage

// Fiso's build pipeline. Nothing but Go is needed to build, to test and to try it out.
// `go tool mage -h TARGET` tells more of a target; `-module=common` restricts one to a module.
package main

import (
	"context"
	"os"

	"github.com/magefile/mage/mg"

	"github.com/lsm/fiso/.ci/pipeline"
)

func pipe(module *string) *pipeline.Pipeline {
	p := &pipeline.Pipeline{Root: ".", Out: os.Stdout}
	if module != nil {
		p.Module = *module
	}
	return p
}

// testAll is a dependency and no target, so that it runs once however many targets of one call ask for it.
func testAll(ctx context.Context) error { return pipe(nil).Test(ctx) }

func testOnce(ctx context.Context) error {
	mg.CtxDeps(ctx, testAll)
	return nil
}

// Build compiles every module; the commands land in .build/bin.
func Build(ctx context.Context, module *string) error { return pipe(module).Build(ctx) }

// Test runs the tests of every module: race detector, shuffled, at least 95 % of its own code reached.
func Test(ctx context.Context, module *string) error {
	if module == nil {
		return testOnce(ctx)
	}
	return pipe(module).Test(ctx)
}

// Lint looks for faults in form and habit (gofmt, go vet, golangci-lint).
func Lint(ctx context.Context, module *string) error { return pipe(module).Lint(ctx) }

// Tidy keeps every go.mod, every go.sum and go.work right.
func Tidy(ctx context.Context) error { return pipe(nil).Tidy(ctx) }

// Generate makes generated files anew, such as the configuration tables of the READMEs.
func Generate(ctx context.Context) error { return pipe(nil).Generate(ctx) }

// Check is everything a pull request must pass.
func Check(ctx context.Context) error { return pipe(nil).Check(ctx, testOnce) }
