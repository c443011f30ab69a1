// Package flows measures the cost of idle flows: it runs 1 to 1,000 flows, each with its own
// source, in one process.
package flows

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/page"
)

// options are the flags.
type options struct {
	counts  []int
	sources []string
	rest    time.Duration
	binary  string
	command string // command line, for the report
}

// Main runs the command.
func Main(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args, log)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fiso-bench-flows-")
	if err != nil {
		return fmt.Errorf("create a working directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	a := &bench{options: o, dir: dir}
	defer a.close() // also if open fails after it started the broker
	if err := a.open(ctx); err != nil {
		return err
	}
	var rows []figures
	for _, source := range o.sources {
		for _, n := range o.counts {
			f, err := a.measure(ctx, source, n)
			if err != nil {
				return fmt.Errorf("%d flows with %s sources: %w", n, source, err)
			}
			fmt.Fprintf(log, "%+v\n", f)
			rows = append(rows, f)
		}
	}
	report(out, o, rows)
	return nil
}

func parse(args []string, log io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench flows", flag.ContinueOnError)
	flags.SetOutput(log)
	var counts, sources string
	flags.StringVar(&counts, "counts", "1,100,500,1000", "numbers of flows, separated by commas")
	flags.StringVar(&sources, "sources", "kafka,http", "types of sources, separated by commas")
	flags.DurationVar(&o.rest, "rest", 20*time.Second, "how long the idle process is measured")
	flags.StringVar(&o.binary, "fiso-flow", "", "a fiso-flow to measure instead of the one of this tree")
	o.command = strings.Join(append([]string{"go run ./e2e/bench flows"}, args...), " ")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, text := range strings.Split(counts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("--counts: %q is not a number of flows", text)
		}
		o.counts = append(o.counts, n)
	}
	o.sources = strings.Split(sources, ",")
	for _, s := range o.sources {
		if templates[s] == "" {
			return o, fmt.Errorf("--sources: %q is not known; write kafka or http", s)
		}
	}
	return o, nil
}

func report(out io.Writer, o options, rows []figures) {
	fmt.Fprintf(out, "`%s` on %s.\n\n", o.command, page.Machine())
	fmt.Fprintln(out, "| source | flows | ready after | resident | CPU at rest | collections | sockets | goroutines | `/metrics` | lines |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, f := range rows {
		fmt.Fprintf(out, "| %s | %d | %.1f s | %d MiB | %.3f cores | %.0f a minute | %d | %d | %d KiB | %d |\n", f.source, f.flows, f.ready.Seconds(),
			f.resident>>20, f.cores, f.collections, f.sockets, f.goroutines, f.metricsBytes>>10, f.metricsLines)
	}
}
