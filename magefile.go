//go:build mage

// Fiso's build pipeline. Nothing but Go is needed to build, to test and to try it out.
// `go tool mage -h TARGET` tells more of a target; `-module=common` restricts one to a module.
package main

import (
	"context"
	"os"
	"time"

	"github.com/lsm/fiso/.ci/pipeline"
)

func pipe(module *string) *pipeline.Pipeline {
	p := &pipeline.Pipeline{Root: ".", Out: os.Stdout}
	if module != nil {
		p.Module = *module
	}
	return p
}

// Test runs the tests of every module, in 5 minutes on two cores: race detector, shuffled, at least 95 % of its own code reached. Check runs them in full.
func Test(ctx context.Context, module *string) error { return pipe(module).Test(ctx) }

// Lint looks for faults in form and habit (gofmt, go vet, golangci-lint), and with buf for changes of a protocol that break its users.
func Lint(ctx context.Context, module *string) error { return pipe(module).Lint(ctx) }

// Tidy keeps every go.mod, every go.sum and go.work right.
func Tidy(ctx context.Context) error { return pipe(nil).Tidy(ctx) }

// Generate makes generated files anew, such as the configuration tables of the READMEs.
func Generate(ctx context.Context) error { return pipe(nil).Generate(ctx) }

// Check is everything a pull request must pass: rules, generate, tidy, lint, the tests in full, proxy.
func Check(ctx context.Context) error { return pipe(nil).Check(ctx) }

// Proxy tries the modules as a user gets them: go get and go install, from a module proxy made of this tree.
func Proxy(ctx context.Context, module *string) error { return pipe(module).Proxy(ctx) }

// Integration runs the tests with real servers and clients: it fetches them (needs a JDK, mvn, node, npm and pip), but for nginx, squid and logrotate.
func Integration(ctx context.Context, module *string) error { return pipe(module).Integration(ctx) }

// Bench runs the benchmarks, and then fiso-flow against the least a program could spend and fiso-link against nginx and others (e2e/bench).
func Bench(ctx context.Context, module *string) error { return pipe(module).Bench(ctx) }

// Faults runs fiso-flow on a real Apache Kafka under faults of every kind, about 40 minutes (-scenario=sigkill,brokers -scale=0.1 for less; needs java and mvn).
func Faults(ctx context.Context, scenario *string, scale *float64) error {
	names, share := "", 1.0
	if scenario != nil {
		names = *scenario
	}
	if scale != nil {
		share = *scale
	}
	return pipe(nil).Faults(ctx, names, share)
}

// Simulate runs fiso-flow under random faults in virtual time (--seeds=10000 for so many worlds).
func Simulate(ctx context.Context, seeds *int) error {
	n := 0
	if seeds != nil {
		n = *seeds
	}
	return pipe(nil).Simulate(ctx, n)
}

// Mutants puts known faults back, one by one, and wants the tests to find each (-only=F03 for some).
func Mutants(ctx context.Context, only *string) error {
	name := ""
	if only != nil {
		name = *only
	}
	return pipe(nil).Mutants(ctx, name)
}

// Fuzz lets every fuzz target look for new inputs, 10 s each (-each=1m for longer).
func Fuzz(ctx context.Context, module *string, each *time.Duration) error {
	long := 10 * time.Second
	if each != nil {
		long = *each
	}
	return pipe(module).Fuzz(ctx, long)
}

// Cover shows in .build/cover/*.html which lines the last run of test reached.
func Cover(ctx context.Context, module *string) error { return pipe(module).Cover(ctx) }

// Demo shows the main job at work, with nothing installed but Go (--keep leaves it running).
func Demo(ctx context.Context, keep *bool) error {
	return pipe(nil).Demo(ctx, os.Stdin, keep != nil && *keep)
}

// DemoLink shows fiso-link before a service that fails, with nothing installed but Go (--keep leaves it running).
func DemoLink(ctx context.Context, keep *bool) error {
	return pipe(nil).DemoLink(ctx, os.Stdin, keep != nil && *keep)
}

// Clean removes what the pipeline built and fetched (.build, .cache).
func Clean() error { return pipe(nil).Clean() }
