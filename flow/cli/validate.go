package cli

import (
	"cmp"
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
	if e.Split != "" {
		row("split", e.Split+": each element becomes an event")
	}
	row("transform", e.Transform)
	expressions := func(name string, all []plan.Expression) {
		for _, x := range all {
			row(name, x.Key+": "+x.CEL)
			name = ""
		}
	}
	expressions("attributes", e.Attributes)
	if len(e.Sinks) == 0 {
		row("sink", e.Sink)
		expressions("", e.Expressions)
	} else {
		row("sinks", e.Routing)
	}
	for _, s := range e.Sinks {
		row("", "- "+s.Name+": "+s.Takes+", "+s.Sink)
		for _, line := range sinkLines(&s, &e.Handling) {
			row("", "  "+line)
		}
	}
	row("ordering", e.Ordering)
	row("in flight", e.InFlight)
	row("batches", e.Batch)
	own := len(e.Sinks) > 0
	for _, r := range handlingRows(&e.Handling) {
		if own && r.text != "" {
			r.text += ownOf(e, r.name)
		}
		row(r.name, r.text)
	}
	row("not retried", "malformed data, an expression that fails, an output over the limit, an event that the sink refuses for good")
	row("drain", e.Drain)
	return b.String()
}

// handlingRow is a row of an explanation.
type handlingRow struct{ name, text string }

func handlingRows(h *plan.Handling) []handlingRow {
	return []handlingRow{
		{"retries", schedule(h)}, {"outage", h.Outage}, {"exhausted", h.Exhausted}, {"dead letters", h.DeadLetters}, {"stop the line", h.StopTheLine},
	}
}

// sinkLines describes a sink of several: its batches, its expressions, and how it handles failures
// where that differs from the flow.
func sinkLines(s *plan.SinkExplanation, flow *plan.Handling) []string {
	var lines []string
	if s.Batch != "" {
		lines = append(lines, "batches: "+s.Batch)
	}
	for _, x := range s.Expressions {
		lines = append(lines, x.Key+": "+x.CEL)
	}
	ofFlow := handlingRows(flow)
	for i, r := range handlingRows(&s.Handling) {
		if r != ofFlow[i] {
			lines = append(lines, r.name+": "+cmp.Or(r.text, "hold: an outage uses up no retries"))
		}
	}
	return lines
}

// ownOf names the sinks whose row of that name differs from that of the flow.
func ownOf(e *plan.Explanation, name string) string {
	var names []string
	ofFlow := handlingRows(&e.Handling)
	for _, s := range e.Sinks {
		for i, r := range handlingRows(&s.Handling) {
			if r.name == name && r != ofFlow[i] {
				names = append(names, s.Name)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (not sink " + strings.Join(names, ", ") + ": see above)"
}

// schedule formats the retries in one line, with their total time.
func schedule(h *plan.Handling) string {
	if h.MaxRetries == 0 {
		return "none"
	}
	var (
		parts     []string
		low, high time.Duration
	)
	for _, w := range h.Retries {
		low, high = low+w.Min, high+w.Max
		parts = append(parts, between(w.Min, w.Max))
	}
	text := fmt.Sprintf("%d, after %s; ", h.MaxRetries, strings.Join(parts, ", "))
	if n := len(h.Retries); n < h.MaxRetries {
		return fmt.Sprintf("%sthese %d together %s, and so on", text, n, between(low, high))
	}
	return text + "together " + between(low, high)
}

func between(low, high time.Duration) string {
	low, high = low.Round(time.Millisecond), high.Round(time.Millisecond)
	if low == high {
		return low.String()
	}
	return low.String() + "–" + high.String()
}
