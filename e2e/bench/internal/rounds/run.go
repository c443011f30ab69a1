package rounds

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/fixture"
	"github.com/lsm/fiso/e2e/bench/internal/floor"
	"github.com/lsm/fiso/e2e/bench/internal/page"
	"github.com/lsm/fiso/e2e/internal/process"
)

// runTimeout is how long a run may take before it counts as stuck.
const runTimeout = 30 * time.Second

// bench is one run of the benchmark.
type bench struct {
	opts    Options
	dir     string
	self    string // path of this program
	fiso    string // path of fiso-flow
	brokers []string
	sink    *fixture.Sink
	log     io.Writer
	groups  int
}

func run(ctx context.Context, opts Options, list []Scenario, out, log io.Writer) (err error) {
	b := &bench{opts: opts, log: log, fiso: opts.Binary}
	var to page.Page
	if opts.Write != "" {
		if to, err = page.Open(opts.Write); err != nil {
			return err
		}
	}
	if b.dir, err = os.MkdirTemp("", "fiso-bench-"); err != nil {
		return fmt.Errorf("create a working directory: %w", err)
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // a temporary directory
	if b.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	if b.sink, err = fixture.NewSink(ctx); err != nil {
		return err
	}
	defer b.sink.Close() //nolint:errcheck // nothing sends any more
	results := make([]result, 0, len(list))
	for _, s := range list {
		r, err := b.scenario(ctx, s.scaled(opts.Scale))
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		results = append(results, r)
	}
	var text bytes.Buffer
	report(&text, opts, results)
	if _, err := out.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if opts.Write == "" {
		return nil
	}
	return to.Renew(text.Bytes())
}

// build builds fiso-flow, unless a binary was given.
func (b *bench) build(ctx context.Context) error {
	pkg := process.Flow
	if b.opts.Profile != "" {
		pkg = "github.com/lsm/fiso/e2e/bench/profiled/flow"
		if err := os.MkdirAll(b.opts.Profile, 0o755); err != nil {
			return fmt.Errorf("create a directory for the profiles: %w", err)
		}
	}
	if b.fiso != "" {
		return nil
	}
	b.fiso = filepath.Join(b.dir, "fiso-flow")
	return process.Build(ctx, b.fiso, pkg)
}

// scenario runs all rounds of one scenario on its own broker, so that records of earlier scenarios
// do not slow it down.
func (b *bench) scenario(ctx context.Context, s Scenario) (r result, err error) {
	r.Scenario = s
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addresses, out := io.Pipe()
	broker, err := process.Start(ctx, out, nil, b.self, RoleBroker)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, broker.Stop(ctx)) }()
	if err := json.NewDecoder(bufio.NewReader(addresses)).Decode(&b.brokers); err != nil {
		return r, fmt.Errorf("start the broker: %w", err)
	}
	if err := fixture.Produce(ctx, b.brokers, s.Records); err != nil {
		return r, err
	}
	if err := fixture.Read(ctx, b.brokers, s.Records); err != nil {
		return r, err
	}
	for round := range b.opts.Rounds {
		sides := []string{"floor", "fiso"}
		if round%2 == 1 {
			sides[0], sides[1] = sides[1], sides[0]
		}
		for _, side := range sides {
			f, err := b.side(ctx, s, side)
			if err == nil && s.hasLatency() {
				var at figures
				at, err = b.side(ctx, s.paced(), side)
				f.P50, f.P99 = at.P50, at.P99
			}
			if err != nil {
				return r, fmt.Errorf("%s, round %d: %w", side, round+1, err)
			}
			fmt.Fprintf(b.log, "%-14s %-6s %s\n", s.Name, side, f)
			r.add(side, f)
		}
	}
	return r, r.same()
}

// side runs one side once.
func (b *bench) side(ctx context.Context, s Scenario, side string) (f figures, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runTimeout, errors.New("the run timed out"))
	defer cancel()
	b.groups++
	p := place{brokers: b.brokers, topic: s.Records.Topic(), group: fmt.Sprintf("group-%d", b.groups), url: b.sink.URL}
	p.out = fmt.Sprintf("out-%d", b.groups)
	if s.PerSecond > 0 {
		p.topic += "-" + p.group
	}
	if p.metrics, err = process.FreeAddr(ctx); err != nil {
		return f, err
	}
	expect := s.Records.Expected()
	counter := fixture.NewCounter(s.Records.Count, expect, warmUp(s))
	b.sink.Begin(counter, s.Delay)
	bg := newBackground(ctx)
	defer func() { err = errors.Join(err, bg.end()) }()
	out, err := b.startCounting(bg, s, p, counter)
	if err != nil {
		return f, err
	}
	proc, err := b.startSide(ctx, s, side, p, out)
	if err != nil {
		return f, err
	}
	if f, err = measure(ctx, s, proc, p.metrics, counter); err != nil {
		proc.Kill() // the run has already failed
		return f, fmt.Errorf("%d of %d events arrived: %w\n%s", counter.Count(), expect, err, proc.Output())
	}
	if err := proc.Stop(ctx); err != nil {
		return f, err
	}
	return f, b.checks(ctx, p, counter)
}

// warmUp returns how many events are not measured: one in twenty.
func warmUp(s Scenario) int {
	if s.Records.Rare || s.PerSecond > 0 {
		return 1
	}
	return s.Records.Count / 20
}

// startCounting starts the goroutines that count events outside the HTTP sink or write records during
// the run. It returns the stdout for the candidate.
func (b *bench) startCounting(bg *background, s Scenario, p place, counter *fixture.Counter) (io.Writer, error) {
	if s.PerSecond > 0 {
		if err := fixture.Create(bg.ctx, b.brokers, p.topic, s.Records.Partitions); err != nil {
			return nil, err
		}
		bg.start(func() error {
			return fixture.Pace(bg.ctx, b.brokers, p.topic, s.Records, s.PerSecond, counter.Warm, counter.Sent)
		})
	}
	switch s.Mode {
	case floor.Kafka:
		if err := fixture.Create(bg.ctx, b.brokers, p.out, s.Records.Partitions); err != nil {
			return nil, err
		}
		bg.start(func() error { return fixture.Drain(bg.ctx, counter, b.brokers, p.out) })
	case floor.Stdout:
		// A real pipe, so that writing has its real cost.
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("create a pipe: %w", err)
		}
		bg.close(w)
		bg.start(func() error { defer r.Close(); return fixture.Lines(counter, r) }) //nolint:errcheck // only read
		return w, nil
	}
	return io.Discard, nil
}

// startSide starts fiso-flow or the floor.
func (b *bench) startSide(ctx context.Context, s Scenario, side string, p place, out io.Writer) (*process.Process, error) {
	if side == "floor" {
		cfg, err := json.Marshal(s.floor(p))
		if err != nil {
			return nil, fmt.Errorf("write the floor's configuration: %w", err)
		}
		return process.Start(ctx, out, nil, b.self, roleFloor, string(cfg))
	}
	file := filepath.Join(b.dir, p.group+".yaml")
	if err := os.WriteFile(file, []byte(s.flow(p)), 0o600); err != nil {
		return nil, fmt.Errorf("write the flow: %w", err)
	}
	name := s.Name
	if s.PerSecond > 0 {
		name += "-latency"
	}
	env := []string{"BENCH_PROFILE=" + filepath.Join(b.opts.Profile, name)}
	return process.Start(ctx, out, env, b.fiso, "run", "--metrics-addr", p.metrics, file)
}

// checks verifies a run after its end.
func (b *bench) checks(ctx context.Context, p place, counter *fixture.Counter) error {
	if err := counter.Check(); err != nil {
		return err
	}
	lag, err := fixture.Lag(ctx, b.brokers, p.group, p.topic)
	if err == nil && lag != 0 {
		err = fmt.Errorf("%d records of %s were not committed", lag, strings.TrimSpace(p.topic))
	}
	return err
}
