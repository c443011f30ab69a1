// Package program implements the command line: it selects the scenarios, starts brokers for them,
// and prints the results.
package program

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/internal/process"
)

// ErrBroken is returned after the table was printed, if a scenario failed.
var ErrBroken = errors.New("a scenario failed")

// Options are the flags.
type Options struct {
	Scenarios []harness.Scenario
	Scale     float64
	Brokers   int // 0: as many as each scenario needs
	JSON      bool
	Binary    string // fiso-flow; "": built from this tree
}

// Main runs the command with the given scenarios.
func Main(ctx context.Context, all []harness.Scenario, args []string, out, log io.Writer) error {
	o, err := parse(all, args, log)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	results, err := Run(ctx, o, func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) })
	if err != nil {
		return err
	}
	if o.JSON {
		err = writeJSON(out, results)
	} else {
		writeTable(out, results)
	}
	if err == nil && slices.ContainsFunc(results, func(r harness.Result) bool { return !r.Good() }) {
		err = ErrBroken
	}
	return err
}

func parse(all []harness.Scenario, args []string, log io.Writer) (o Options, err error) {
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(log)
	names, output := "", ""
	flags.StringVar(&names, "scenario", "", "scenarios to run, separated by commas; default: all")
	flags.Float64Var(&o.Scale, "scale", 1, "factor for durations and numbers of faults and events")
	flags.IntVar(&o.Brokers, "brokers", 0, "brokers to run all scenarios on, 1 or 3; default: as many as each needs")
	flags.StringVar(&output, "output", "table", "table or json")
	flags.StringVar(&o.Binary, "fiso-flow", "", "path of a fiso-flow to test; default: built from this tree")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.JSON = output == "json"
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("usage: unexpected argument %q", flags.Arg(0))
	case o.Scale <= 0:
		return o, errors.New("usage: --scale must be above 0")
	case o.Brokers != 0 && o.Brokers != 1 && o.Brokers != 3:
		return o, errors.New("usage: --brokers must be 1 or 3")
	case output != "table" && output != "json":
		return o, fmt.Errorf("usage: --output must be table or json, not %q", output)
	}
	o.Scenarios, err = selectScenarios(all, names)
	return o, err
}

func selectScenarios(all []harness.Scenario, names string) ([]harness.Scenario, error) {
	if names == "" {
		return all, nil
	}
	var known []string
	var list []harness.Scenario
	byName := map[string]harness.Scenario{}
	for _, s := range all {
		known = append(known, s.Name)
		byName[s.Name] = s
		for _, part := range s.Parts {
			byName[part.Name] = part
		}
	}
	for _, name := range strings.Split(names, ",") {
		s, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(known, ", "))
		}
		list = append(list, s)
	}
	return list, nil
}

// Run runs the scenarios one after the other.
func Run(ctx context.Context, o Options, logf func(format string, args ...any)) (results []harness.Result, err error) {
	dir, err := os.MkdirTemp("", "fiso-faults-")
	if err != nil {
		return nil, fmt.Errorf("create a working directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if o.Binary == "" {
		o.Binary = filepath.Join(dir, "fiso-flow")
		if err := process.Build(ctx, o.Binary, process.Flow); err != nil {
			return nil, err
		}
	}
	var c cluster
	defer c.stop()
	for _, sc := range o.Scenarios {
		if err := c.start(dir, max(1, sc.Brokers, o.Brokers), sc.Config, logf); err != nil {
			return results, err
		}
		rs := runParts(ctx, sc, harness.Config{Kafka: c.Processes, Dir: dir, Binary: o.Binary, Scale: o.Scale, Log: logf})
		results = append(results, rs...)
		for _, r := range rs {
			logf("%s", strings.Join(cells(&r), "  "))
			for _, line := range details(&r) {
				logf("%s", line)
			}
		}
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
		if slices.ContainsFunc(rs, func(r harness.Result) bool { return !r.Good() }) {
			c.stop() // stop the brokers, so that a failed start leaves nothing for the next one
		}
	}
	return results, nil
}

// runParts runs a scenario, or all its parts concurrently.
func runParts(ctx context.Context, sc harness.Scenario, p harness.Config) []harness.Result {
	if len(sc.Parts) == 0 {
		return []harness.Result{harness.Run(ctx, sc, p)}
	}
	p.Scale *= cmp.Or(sc.Scale, 1)
	results := make([]harness.Result, len(sc.Parts))
	var all sync.WaitGroup
	for i, part := range sc.Parts {
		all.Go(func() { results[i] = harness.Run(ctx, part, p) })
	}
	all.Wait()
	return results
}

// cluster is the running Kafka. Consecutive scenarios share it if their settings are equal.
type cluster struct {
	*kafkatest.Processes
	brokers int
	config  map[string]string
	n       int
}

func (c *cluster) start(dir string, brokers int, config map[string]string, logf func(string, ...any)) (err error) {
	if c.Processes != nil && c.brokers == brokers && maps.Equal(c.config, config) {
		return nil
	}
	c.stop()
	logf("starting %d broker(s)", brokers)
	c.n++
	c.brokers, c.config = brokers, config
	all := map[string]string{"message.max.bytes": "16777216", "replica.fetch.max.bytes": "16777216"}
	maps.Copy(all, config)
	c.Processes, err = kafkatest.StartReal(filepath.Join(dir, fmt.Sprint("kafka", c.n)), kafkatest.RealOptions{Brokers: brokers, Config: all})
	return err
}

func (c *cluster) stop() {
	if c.Processes != nil {
		c.Close()
		c.Processes = nil
	}
}
