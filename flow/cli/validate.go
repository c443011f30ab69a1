package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/flow/blueprint"
)

func (a *app) validateCommand() *cobra.Command {
	var explain bool
	c := &cobra.Command{
		Use:   "validate [path…]",
		Short: "Check flow files, without connecting anywhere",
		Long: `Checks flow files or directories of them: keys, values, connector settings and
every CEL expression. All faults of all files are shown, each with its line.`,
		Example: `  fiso-flow validate flows/
  fiso-flow validate --explain order-events.yaml`,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := load(a.paths(args))
			if err != nil && len(all) == 0 {
				return err
			}
			return a.validated(all, err, explain)
		},
	}
	c.Flags().BoolVar(&explain, "explain", false, "say in words what each flow will do")
	return c
}

// verdict is one file as --output json prints it.
type verdict struct {
	File        string                 `json:"file"`
	Flow        string                 `json:"flow,omitempty"`
	OK          bool                   `json:"ok"`
	Errors      []problem              `json:"errors,omitempty"`
	Explanation *blueprint.Explanation `json:"explanation,omitempty"`
}

func (a *app) validated(all []outcome, err error, explain bool) error {
	verdicts := make([]verdict, 0, len(all))
	good := err == nil
	for _, o := range all {
		v := verdict{File: o.file, OK: o.err == nil, Errors: problems(o.err)}
		if o.err == nil {
			v.Flow = o.flow.Name()
			if explain {
				e := o.flow.Explain()
				v.Explanation = &e
			}
		}
		good = good && v.OK
		verdicts = append(verdicts, v)
	}
	if a.output == "json" {
		result := map[string]any{"ok": good, "files": verdicts}
		if err != nil {
			result["errors"] = problems(err)
		}
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		a.printVerdicts(all, verdicts, err)
	}
	if !good {
		return errReported
	}
	return nil
}

func (a *app) printVerdicts(all []outcome, verdicts []verdict, err error) {
	for i, v := range verdicts {
		switch {
		case !v.OK:
			a.errorf("%v\n\n", all[i].err)
		case v.Explanation != nil:
			a.printf("%s", explanation(v.Explanation))
		default:
			a.printf("%s: flow %s is valid\n", v.File, v.Flow)
		}
	}
	if err != nil {
		a.errorf("%v\n", err)
	}
}

// explanation is an Explanation as a person reads it.
func explanation(e *blueprint.Explanation) string {
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-13s %s\n", name, text)
		}
	}
	fmt.Fprintf(&b, "%s (%s) is valid, and this will happen:\n", e.Flow, e.File)
	if e.Paused {
		row("paused", "it holds its place and fetches nothing")
	}
	row("reads", e.Source)
	row("keeps", e.Filter)
	row("becomes", e.Transform)
	row("goes to", e.Sink)
	row("order", e.Ordering)
	row("in flight", e.InFlight)
	row("batches", e.Batch)
	row("retries", schedule(e.Retries))
	row("then", e.Exhausted)
	row("dead letters", e.DeadLetters)
	row("at once there", "what is malformed, an expression that fails, an output over the limit, an event the sink refuses for good")
	row("stop the line", e.StopTheLine)
	row("drain", e.Drain)
	return b.String()
}

// schedule is the retries in a line, with the time they take together.
func schedule(waits []blueprint.Wait) string {
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
