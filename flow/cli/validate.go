package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/spec"
)

func (a *app) validateCommand() *cobra.Command {
	var explain bool
	c := &cobra.Command{
		Use:   "validate [path…]",
		Short: "Check flow files, and connect to nothing",
		Long: `Checks flow files: keys, values, connector settings and every CEL expression. It
shows all faults of all files, each with its line, its column and a hint.

` + pathHelp,
		Example: `  fiso-flow validate flows/
  fiso-flow validate --explain order-events.yaml`,
		RunE: func(_ *cobra.Command, args []string) error {
			flows, err := plan.ParseDir(a.paths(args)...)
			return a.validated(flows, err, explain)
		},
	}
	c.Flags().BoolVar(&explain, "explain", false, "describe in words what each flow will do")
	return c
}

// validFlow is one flow in --output json.
type validFlow struct {
	File        string            `json:"file"`
	Flow        string            `json:"flow"`
	Explanation *plan.Explanation `json:"explanation,omitempty"`
}

func (a *app) validated(flows []*plan.Plan, err error, explain bool) error {
	valid := make([]validFlow, 0, len(flows))
	for _, f := range flows {
		v := validFlow{File: f.File, Flow: f.Name()}
		if explain {
			e, failed := f.Explain()
			if failed != nil {
				err = append(spec.Faults("", err), spec.Faults("", failed)...)
				continue
			}
			v.Explanation = &e
		}
		valid = append(valid, v)
	}
	if a.JSON() {
		result := map[string]any{"ok": err == nil, "flows": valid, "errors": a.Problems(err)}
		if err := a.PrintJSON(result); err != nil {
			return err
		}
		if err != nil {
			return command.ErrReported
		}
		return nil
	}
	for _, v := range valid {
		if v.Explanation != nil {
			a.Printf("%s", explanation(v.Explanation))
		} else {
			a.Printf("%s: flow %s is valid\n", v.File, v.Flow)
		}
	}
	return err
}

// explanation formats an Explanation for reading.
func explanation(e *plan.Explanation) string {
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-13s %s\n", name, text)
		}
	}
	fmt.Fprintf(&b, "%s (%s) is valid. It will do this:\n", e.Flow, e.File)
	if e.Paused {
		row("paused", "it fetches nothing and keeps its commits")
	}
	row("source", e.Source)
	row("filter", e.Filter)
	row("transform", e.Transform)
	if len(e.Sinks) == 0 {
		row("sink", e.Sink)
	} else {
		row("sinks", e.Routing)
	}
	for _, s := range e.Sinks {
		row("", "- "+s)
	}
	row("ordering", e.Ordering)
	row("in flight", e.InFlight)
	row("batches", e.Batch)
	row("retries", schedule(e.Retries))
	row("exhausted", e.Exhausted)
	row("dead letters", e.DeadLetters)
	row("not retried", "malformed data, an expression that fails, an output over the limit, an event that the sink refuses for good")
	row("stop the line", e.StopTheLine)
	row("drain", e.Drain)
	return b.String()
}

// schedule formats the retries in one line, with their total time.
func schedule(waits []plan.Wait) string {
	if len(waits) == 0 {
		return "none"
	}
	var (
		parts     []string
		low, high time.Duration
	)
	for _, w := range waits {
		low, high = low+w.Min, high+w.Max
		parts = append(parts, between(w.Min, w.Max))
	}
	return fmt.Sprintf("%d, after %s; together %s", len(waits), strings.Join(parts, ", "), between(low, high))
}

func between(low, high time.Duration) string {
	low, high = low.Round(time.Millisecond), high.Round(time.Millisecond)
	if low == high {
		return low.String()
	}
	return low.String() + "–" + high.String()
}
