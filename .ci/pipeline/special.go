package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/.ci/gotest"
	"github.com/lsm/fiso/.ci/repo"
)

// integrationTimeout bounds the integration tests of one package: real servers take their time.
const integrationTimeout = 20 * time.Minute

var (
	integrationTest = regexp.MustCompile(`(?m)^func (Test\w+)\(t `)
	vaultUse        = regexp.MustCompile(`"(FISO_VAULT_HOME)"`)
	temporalUse     = regexp.MustCompile(`"(FISO_TEMPORAL)"`)
	peersUse        = regexp.MustCompile(`"(FISO_PEERS_HOME)"`)
	benchmark       = regexp.MustCompile(`(?m)^func (Benchmark\w*)\(`)
	fuzzTarget      = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(`)
	fuzzEnd         = regexp.MustCompile(`(?m)^--- FAIL: Fuzz.*\n +context deadline exceeded\n`)
)

// Integration runs the tests in files named …integration_test.go, which carry
// the tag integration, against real servers that it fetches or builds: a Vault
// for packages whose tests name FISO_VAULT_HOME, a Temporal where they name
// FISO_TEMPORAL, an Apache Kafka for all others, and peers in other languages where
// FISO_PEERS_HOME is named. None may be skipped.
func (p *Pipeline) Integration(ctx context.Context) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	opts := p.testOptions(r, modules)
	var names []string
	kafka, vault, temporal, peers := false, false, false, false
	for _, m := range modules {
		found, err := grep(r, m, isIntegration, integrationTest)
		if err != nil {
			return err
		}
		withVault, err := grep(r, m, isIntegration, vaultUse)
		if err != nil {
			return err
		}
		withTemporal, err := grep(r, m, isIntegration, temporalUse)
		if err != nil {
			return err
		}
		withPeers, err := grep(r, m, isIntegration, peersUse)
		if err != nil {
			return err
		}
		peers = peers || len(withPeers) > 0
		for _, dir := range sortedKeys(found) {
			switch {
			case withVault[dir] != nil:
				vault = true
			case withTemporal[dir] != nil:
				temporal = true
			default:
				kafka = true
			}
			opts.Packages = append(opts.Packages, below(m, dir))
			names = append(names, found[dir]...)
		}
	}
	if len(names) == 0 {
		p.say("no integration tests: there is no file …integration_test.go with a test in it")
		return nil
	}
	opts.Env = []string{"FISO_INTEGRATION=require"}
	for _, server := range []struct {
		wanted bool
		name   string
		home   func(context.Context) (string, error)
	}{
		{kafka, "FISO_KAFKA_HOME", func(ctx context.Context) (string, error) { return p.kafkaHome(ctx, r) }},
		{vault, "FISO_VAULT_HOME", p.vaultHome},
		{temporal, "FISO_TEMPORAL", p.temporalHome},
		{peers, "FISO_PEERS_HOME", p.peersHome},
	} {
		if !server.wanted {
			continue
		}
		home, err := server.home(ctx)
		if err != nil {
			return err
		}
		opts.Env = append(opts.Env, server.name+"="+home)
	}
	opts.NoSkips = true
	opts.Args = []string{"-tags=integration", "-run=^(" + strings.Join(names, "|") + ")$", "-timeout=" + integrationTimeout.String()}
	return gotest.Run(ctx, opts)
}

// benchProgram is the folder, seen from the repository, of the program that
// measures fiso-flow as a whole, and fiso-link when it is told so.
const benchProgram = "e2e/bench"

// Bench runs the benchmarks, one package after the other, and then the program
// that measures fiso-flow against the floor, and fiso-link against other proxies.
func (p *Pipeline) Bench(ctx context.Context) error {
	if err := p.benchmarks(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.Root, filepath.FromSlash(benchProgram))); err != nil || p.Module != "" && p.Module != "e2e" {
		return nil // another tree, or another module
	}
	if err := (repo.Cmd{Dir: p.Root, Out: p.Out, Args: []string{"go", "run", "./" + benchProgram}}).Run(ctx); err != nil {
		return fmt.Errorf("measuring fiso-flow against the floor: %w", err)
	}
	if err := (repo.Cmd{Dir: p.Root, Out: p.Out, Args: []string{"go", "run", "./" + benchProgram, "link"}}).Run(ctx); err != nil {
		return fmt.Errorf("measuring fiso-link against other proxies: %w", err)
	}
	return nil
}

// faultsProgram is the folder, seen from the repository, of the program that
// breaks what can break around fiso-flow.
const faultsProgram = "e2e/faults"

// Faults runs whole fiso-flow processes on a real Apache Kafka, which it
// fetches, under faults of every kind: all of it, or so much of each scenario as
// scale says, or the scenarios that are named, with commas.
func (p *Pipeline) Faults(ctx context.Context, scenarios string, scale float64) error {
	r, _, err := p.open(ctx)
	if err != nil {
		return err
	}
	home, err := p.kafkaHome(ctx, r)
	if err != nil {
		return err
	}
	args := []string{"go", "run", "./" + faultsProgram, "--scale=" + strconv.FormatFloat(scale, 'g', -1, 64)}
	if scenarios != "" {
		args = append(args, "--scenario="+scenarios)
	}
	run := repo.Cmd{Dir: p.Root, Out: p.Out, Env: []string{"FISO_KAFKA_HOME=" + home}, Args: args}
	if err := run.Run(ctx); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	return nil
}

func (p *Pipeline) benchmarks(ctx context.Context) error {
	return p.eachMatch(ctx, benchmark, func(m *repo.Module, dir string, _ []string) error {
		return p.goTool(ctx, m, "test", "-run=^$", "-bench=.", "-benchmem", dir)
	})
}

// Fuzz lets each fuzz target look for new inputs for a while. A target that
// fails stops no other.
func (p *Pipeline) Fuzz(ctx context.Context, each time.Duration) error {
	var failed []error
	err := p.eachMatch(ctx, fuzzTarget, func(m *repo.Module, dir string, targets []string) error {
		for _, target := range targets {
			p.say("%s %s, for %s", m.Path, target, each)
			spurious, err := p.fuzz(ctx, m, dir, target, each)
			if spurious {
				p.say("%s %s once more: it ended with its time, and found nothing", m.Path, target)
				_, err = p.fuzz(ctx, m, dir, target, each)
			}
			failed = append(failed, err)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	return errors.Join(append(failed, err)...)
}

// fuzz lets one target look for new inputs. Making an input smaller is bounded:
// left to itself it takes up to a minute, in which nothing else is tried. A
// failure is spurious where Go before 1.27 takes the end of -fuzztime for one
// (https://go.dev/issue/75804): it then names no input.
func (p *Pipeline) fuzz(ctx context.Context, m *repo.Module, dir, target string, each time.Duration) (spurious bool, err error) {
	var said bytes.Buffer
	err = repo.Cmd{
		Dir: m.Abs(), Out: io.MultiWriter(p.Out, &said),
		Args: []string{"go", "test", "-run=^$", "-fuzz=^" + target + "$", "-fuzztime=" + each.String(), "-fuzzminimizetime=2s", dir},
	}.Run(ctx)
	return err != nil && fuzzEnd.Match(said.Bytes()) && !bytes.Contains(said.Bytes(), []byte("Failing input written")), err
}

// eachMatch calls do for every folder of tests that the pattern matches.
func (p *Pipeline) eachMatch(ctx context.Context, pattern *regexp.Regexp, do func(m *repo.Module, dir string, names []string) error) error {
	r, modules, err := p.open(ctx)
	if err != nil {
		return err
	}
	for _, m := range modules {
		found, err := grep(r, m, isTest, pattern)
		if err != nil {
			return err
		}
		for _, dir := range sortedKeys(found) {
			if err := do(m, dir, found[dir]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Cover makes a page from the last run of the tests that shows which lines they reach.
func (p *Pipeline) Cover(ctx context.Context) error {
	profile, err := p.profile()
	if err != nil {
		return err
	}
	if _, err := os.Stat(profile); err != nil {
		return errors.New("nothing is measured yet, run: go tool mage test")
	}
	page := strings.TrimSuffix(profile, ".out") + ".html"
	show := repo.Cmd{Dir: p.Root, Args: []string{"go", "tool", "cover", "-html=" + profile, "-o", page}}
	if err := show.Run(ctx); err != nil {
		return err
	}
	p.say(".build/cover/%s", filepath.Base(page))
	return nil
}

// The commands, seen from the repository, that have a demo.
const (
	flowCommand = "./flow/cmd/fiso-flow"
	linkCommand = "./link/cmd/fiso-link"
)

// Demo runs the main job before the reader's eyes; keep leaves it running.
func (p *Pipeline) Demo(ctx context.Context, in io.Reader, keep bool) error {
	return p.demo(ctx, flowCommand, in, keep)
}

// DemoLink runs fiso-link's demo; keep leaves it running.
func (p *Pipeline) DemoLink(ctx context.Context, in io.Reader, keep bool) error {
	return p.demo(ctx, linkCommand, in, keep)
}

func (p *Pipeline) demo(ctx context.Context, command string, in io.Reader, keep bool) error {
	args := []string{"go", "run", command, "demo"}
	if keep {
		args = append(args, "--keep")
	}
	if err := (repo.Cmd{Dir: p.Root, In: in, Out: p.Out, Args: args}).Run(ctx); err != nil {
		return fmt.Errorf("the demo: %w", err)
	}
	return nil
}

// virtualTag is the build tag of tests that run whole clients of Kafka in
// virtual time: it makes the mutexes of franz-go such that time passes while
// somebody waits for one. Everything else runs as it is built for users.
const virtualTag = "synctests"

var virtualTests = regexp.MustCompile(`(?m)^//go:build (` + virtualTag + `)\b`)

// virtual runs the packages whose tests ask for virtual time, in the way that
// opts say. In full they run once more without the race detector, which is ten
// times faster and tries more seeds.
func (p *Pipeline) virtual(ctx context.Context, r *repo.Repo, opts gotest.Options, short bool) error {
	opts.Packages, opts.Profile = nil, ""
	for _, m := range opts.Modules {
		found, err := grep(r, m, isTest, virtualTests)
		if err != nil {
			return err
		}
		for _, dir := range sortedKeys(found) {
			opts.Packages = append(opts.Packages, below(m, dir))
		}
	}
	if len(opts.Packages) == 0 {
		return nil
	}
	p.say("tests in virtual time")
	opts.Args = append(slices.Clone(opts.Args), "-tags="+virtualTag, "-timeout="+integrationTimeout.String())
	err := gotest.Run(ctx, opts)
	if short || err != nil && !errors.Is(err, gotest.ErrFailed) {
		return err
	}
	p.say("tests in virtual time, without the race detector")
	opts.NoRace = true
	return errors.Join(err, gotest.Run(ctx, opts))
}

// simulation is the folder, seen from the repository, of the simulation.
const simulation = "flow/simulation"

// Simulate runs the simulation of fiso-flow; 0 seeds are as many as a test runs.
// The test is a program here, whose progress is seen while it runs.
func (p *Pipeline) Simulate(ctx context.Context, seeds int) error {
	bin, err := p.dir(".build", "bin")
	if err != nil {
		return err
	}
	bin = filepath.Join(bin, "simulation.test")
	dir := filepath.Join(p.Root, filepath.FromSlash(simulation))
	for _, args := range [][]string{
		{"go", "test", "-c", "-tags=" + virtualTag, "-o", bin, "."},
		{bin, "-test.run=^TestSimulation$", "-test.timeout=0", "-seeds=" + strconv.Itoa(seeds)},
	} {
		if err := (repo.Cmd{Dir: dir, Out: p.Out, Args: args}).Run(ctx); err != nil {
			return fmt.Errorf("the simulation: %w", err)
		}
	}
	return nil
}

// Clean removes what the pipeline built and fetched.
func (p *Pipeline) Clean() error {
	for _, dir := range []string{".build", ".cache"} {
		if err := os.RemoveAll(filepath.Join(p.Root, dir)); err != nil {
			return fmt.Errorf("removing %s: %w", dir, err)
		}
	}
	return nil
}
