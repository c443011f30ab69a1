// Package rounds runs the benchmark: each scenario in several rounds, fiso-flow and the floor in
// turn on the same broker, records and sink.
package rounds

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lsm/fiso/e2e/bench/internal/fixture"
	"github.com/lsm/fiso/e2e/bench/internal/floor"
)

// Roles in which the benchmark starts itself, as first argument.
const (
	RoleBroker = "as-broker" // an embedded broker
	roleFloor  = "as-floor"
)

// Options are the flags.
type Options struct {
	Rounds  int
	Scale   float64
	Only    []string
	Profile string
	Binary  string
	Write   string // file whose figures are replaced
	Command string // command line, for the report
}

// Main runs the command.
func Main(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) > 0 && args[0] == RoleBroker {
		return fixture.Broker(ctx, out)
	}
	if len(args) > 1 && args[0] == roleFloor {
		var cfg floor.Config
		if err := json.Unmarshal([]byte(args[1]), &cfg); err != nil {
			return fmt.Errorf("read the floor's configuration: %w", err)
		}
		return floor.Run(ctx, cfg, out)
	}
	opts, list, err := parse(args, log)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return run(ctx, opts, list, out, log)
}

func parse(args []string, log io.Writer) (opts Options, list []Scenario, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(log)
	only, quick := "", false
	flags.IntVar(&opts.Rounds, "rounds", 3, "rounds of each scenario, of which the median counts")
	flags.Float64Var(&opts.Scale, "scale", 1, "times the usual number of events")
	flags.BoolVar(&quick, "quick", false, "one round of a third of the events")
	flags.StringVar(&only, "only", "", "scenarios to run, separated by commas; default: all")
	flags.StringVar(&opts.Profile, "profile", "", "folder for CPU and allocation profiles of fiso-flow")
	flags.StringVar(&opts.Binary, "fiso-flow", "", "a fiso-flow to measure instead of the one of this tree")
	flags.StringVar(&opts.Write, "write", "", "a Markdown file whose lines between <!-- figures --> and <!-- /figures --> are renewed")
	opts.Command = strings.Join(append([]string{"go run ./e2e/bench"}, args...), " ")
	if err := flags.Parse(args); err != nil {
		return opts, nil, err
	}
	if quick {
		opts.Rounds, opts.Scale = 1, opts.Scale/3
	}
	if opts.Rounds < 1 || opts.Scale <= 0 || flags.NArg() > 0 {
		return opts, nil, fmt.Errorf("usage: rounds and scale must be above 0, and there are no arguments")
	}
	if only == "" {
		return opts, Scenarios, nil
	}
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(Scenarios, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			return opts, nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(names(), ", "))
		}
		list = append(list, Scenarios[i])
	}
	return opts, list, nil
}

func names() []string {
	var all []string
	for _, s := range Scenarios {
		all = append(all, s.Name)
	}
	return all
}
