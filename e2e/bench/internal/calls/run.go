package calls

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
	"slices"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/page"
	"github.com/lsm/fiso/e2e/internal/process"
)

const (
	warming    = 500 * time.Millisecond
	measuring  = 2 * time.Second
	settling   = time.Second // for memory to settle, once connections are idle
	runTimeout = 30 * time.Second
)

// bench is one run of the benchmark.
type bench struct {
	opts        Options
	dir, self   string
	fiso, nginx string // paths of programs; nginx "": not installed
	running     string // current scenario
	upstream    addresses
	log         io.Writer
	missing     map[string]string // reason why a candidate could not take part, by scenario and name
}

func run(ctx context.Context, opts Options, list []Scenario, out, log io.Writer) (err error) {
	b := &bench{opts: opts, log: log, fiso: opts.Binary, nginx: findNginx(), missing: map[string]string{}}
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
	results, err := b.all(ctx, list)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	b.report(&text, results)
	if _, err := out.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if opts.Write == "" {
		return nil
	}
	return to.Renew(text.Bytes())
}

// build builds fiso-link, unless a binary was given.
func (b *bench) build(ctx context.Context) error {
	if b.fiso != "" {
		return nil
	}
	b.fiso = filepath.Join(b.dir, "fiso-link")
	if b.opts.Profile == "" {
		return process.Build(ctx, b.fiso, process.Link)
	}
	if err := os.MkdirAll(b.opts.Profile, 0o755); err != nil {
		return fmt.Errorf("create a directory for the profiles: %w", err)
	}
	return process.Build(ctx, b.fiso, "github.com/lsm/fiso/e2e/bench/profiled/link")
}

// all runs every scenario against one upstream.
func (b *bench) all(ctx context.Context, list []Scenario) (results []*result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	output, out := io.Pipe()
	up, err := process.Start(ctx, out, nil, b.self, roleUpstream)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, up.Stop(ctx)) }()
	if err := json.NewDecoder(bufio.NewReader(output)).Decode(&b.upstream); err != nil {
		return nil, fmt.Errorf("start the upstream: %w", err)
	}
	for _, s := range list {
		r := &result{Scenario: s, by: map[string][]figures{}}
		results = append(results, r)
		for round := range b.opts.Rounds {
			if err := b.round(ctx, r, round); err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", s.Name, round+1, err)
			}
		}
	}
	return results, nil
}

// round runs every candidate once, in a different order each time.
func (b *bench) round(ctx context.Context, r *result, round int) error {
	names := r.candidates()
	first := round % len(names)
	b.running = r.Name
	for _, name := range slices.Concat(names[first:], names[:first]) {
		if name == nginx && b.nginx == "" {
			b.missing[r.Name+name] = "nginx is not installed (Debian package nginx)"
			continue
		}
		f, err := b.one(ctx, r.Scenario, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(b.log, "%-9s %-12s %s\n", r.Name, name, f)
		r.by[name] = append(r.by[name], f)
	}
	return nil
}

// one runs one candidate once.
func (b *bench) one(ctx context.Context, s Scenario, name string) (f figures, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runTimeout, errors.New("the run timed out"))
	defer cancel()
	l := load{addr: b.upstream.HTTP, path: s.Path, post: s.Post, size: s.Size, conns: s.Conns, authorize: true}
	if s.Kind == rpc {
		l.addr = b.upstream.GRPC
	}
	if name == direct {
		return s.measure(ctx, l, b.opts.Scale, nil)
	}
	at, p, err := b.start(ctx, name, s.Kind == rpc)
	if err != nil {
		return f, err
	}
	l.addr, l.path, l.authorize = at.listen, prefix+s.Path, false
	if f, err = s.measure(ctx, l, b.opts.Scale, p); err != nil {
		p.Kill()
		return f, fmt.Errorf("%w\n%s", err, p.Output())
	}
	return f, p.Stop(ctx)
}

// measure loads p; nil: the upstream itself.
func (s Scenario) measure(ctx context.Context, l load, scale float64, p *process.Process) (f figures, err error) {
	var spent []time.Duration
	sample := func() error {
		if p == nil {
			return nil
		}
		cpu, resident, err := p.Tree()
		spent, f.resident = append(spent, cpu), resident
		return err
	}
	if s.Kind == idle {
		return f, l.hold(ctx, func() error {
			pause(ctx, settling)
			return sample()
		})
	}
	do := map[string]func(context.Context, time.Duration, time.Duration, func() error) (int64, []time.Duration, time.Duration, error){
		plain: l.run, stream: l.streams, rpc: l.rpcs,
	}[s.Kind]
	window := time.Duration(float64(measuring) * scale)
	n, took, elapsed, err := do(ctx, min(warming, window), window, sample)
	if err != nil {
		return f, err
	}
	if n == 0 {
		return f, errors.New("no call or event was counted")
	}
	f.rate = float64(n) / elapsed.Seconds()
	if p != nil {
		f.cpu = time.Duration(float64(spent[1]-spent[0]) / float64(n))
	}
	if len(took) > 0 {
		slices.Sort(took)
		f.p50, f.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	return f, nil
}
