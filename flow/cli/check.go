package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/pipeline"
	"github.com/lsm/fiso/flow/plan"
)

func (a *app) checkCommand() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check [path…]",
		Short: "Test source, sinks and dead letter queue, step by step",
		Long: `Checks flow files as validate does, and then connects to what they name: source,
sinks and dead letter queue. It prints every step, and why a step fails. It
changes nothing there.

` + pathHelp,
		Example: `  fiso-flow check order-events.yaml
  fiso-flow check --timeout 30s -o json flows/`,
		RunE: func(c *cobra.Command, args []string) error {
			flows, err := plan.ParseDir(a.paths(args)...)
			if err != nil {
				return err
			}
			return a.checked(c.Context(), flows, timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "time limit for each flow")
	return c
}

// checkedFlow is the result for one flow in --output json.
type checkedFlow struct {
	Flow  string        `json:"flow"`
	OK    bool          `json:"ok"`
	Parts []checkedPart `json:"parts"`
}

type checkedPart struct {
	Part  string        `json:"part"`
	What  string        `json:"what"`
	Steps []checkedStep `json:"steps"`
}

type checkedStep struct {
	Step  string `json:"step"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	// Warning is a remark on a step that succeeded.
	Warning string `json:"warning,omitempty"`
}

func (a *app) checked(ctx context.Context, flows []*plan.Plan, timeout time.Duration) error {
	good := true
	results := make([]checkedFlow, 0, len(flows))
	for _, f := range flows {
		r := checkFlow(ctx, f, timeout)
		good = good && r.OK
		if !a.JSON() {
			a.printChecked(r) // print each result at once: a check takes seconds
		}
		results = append(results, r)
	}
	if a.JSON() {
		if err := a.PrintJSON(map[string]any{"ok": good, "flows": results}); err != nil {
			return err
		}
	}
	if !good {
		return command.ErrReported
	}
	return nil
}

func checkFlow(ctx context.Context, f *plan.Plan, timeout time.Duration) checkedFlow {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	loader := pipeline.NewLoader(pipeline.Options{Stdout: io.Discard})
	defer loader.Close()
	r := checkedFlow{Flow: f.Name(), OK: true}
	for _, c := range f.Check(ctx, loader.Env()) {
		p := checkedPart{Part: c.Part, What: c.What, Steps: []checkedStep{}}
		for _, s := range c.Steps {
			step := checkedStep{Step: s.Name, OK: s.Err == nil, Warning: s.Warning}
			if s.Err != nil {
				step.Error = withoutStep(s.Name, s.Err.Error())
				r.OK = false
			}
			p.Steps = append(p.Steps, step)
		}
		r.Parts = append(r.Parts, p)
	}
	return r
}

// withoutStep removes the name of the step, or its beginning, from the start of an error: it is
// printed before the error.
func withoutStep(name, text string) string {
	if what, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(name, what) {
		return rest
	}
	return text
}

func (a *app) printChecked(r checkedFlow) {
	a.Printf("%s\n", r.Flow)
	for _, p := range r.Parts {
		a.Printf("  %s: %s\n", p.Part, p.What)
		if len(p.Steps) == 0 {
			a.Printf("    nothing to try\n")
		}
		for _, s := range p.Steps {
			switch {
			case !s.OK:
				a.Printf("    FAIL  %s: %s\n", s.Step, indent(s.Error, 10))
			case s.Warning != "":
				a.Printf("    warn  %s: %s\n", s.Step, indent(s.Warning, 10))
			default:
				a.Printf("    ok    %s\n", s.Step)
			}
		}
	}
}
