package calls

import (
	"fmt"
	"io"
	"strings"

	"github.com/lsm/fiso/e2e/bench/internal/page"
)

// report writes the tables as Markdown.
func (b *bench) report(out io.Writer, results []*result) {
	fmt.Fprintf(out, "\n`%s` on %s; rounds: %d; medians; a ratio is the median of the rounds' ratios. Proxy, upstream and load share the cores.\n",
		b.opts.Command, page.Machine(), b.opts.Rounds)
	b.goals(out, results)
	all := []string{fiso, nginx, library, floorProxy}
	b.table(out, results, "calls or events a second", "%.0f", rate, all, func(s Scenario) bool { return s.Kind != idle && s.Name != "paced" })
	b.table(out, results, "CPU a call or event, µs", "%.1f", spent, all, func(s Scenario) bool { return s.Kind != idle })
	with := append(all, direct)
	timed := func(s Scenario) bool { return s.Kind != idle && s.Name != "events" }
	b.table(out, results, "p50, µs", "%.0f", p50, with, timed)
	b.table(out, results, "p99, µs", "%.0f", p99, with, timed)
	b.added(out, results)
	b.table(out, results, "resident memory at the end, MiB", "%.0f", mib, all, func(Scenario) bool { return true })
	b.absent(out, results)
}

// goals writes which goals were met.
func (b *bench) goals(out io.Writer, results []*result) {
	var rows strings.Builder
	for _, g := range goals {
		for _, r := range results {
			if r.Name == g.scenario {
				fmt.Fprintf(&rows, "| %s: %s | %s |\n", r.Title, g.what, g.cells(r))
			}
		}
	}
	if rows.Len() > 0 {
		fmt.Fprintf(out, "\n| goal | figure | bound |\n|---|--:|--:|\n%s", rows.String())
	}
}

// cells formats the figure and the bound.
func (g goal) cells(r *result) string {
	form := "≤ " + g.form
	if g.least {
		form = "≥ " + g.form
	}
	value, ok := g.get(r)
	if !ok {
		return "– | " + fmt.Sprintf(form, g.bound)
	}
	good := g.least && value >= g.bound || !g.least && value <= g.bound
	return fmt.Sprintf(g.form, value) + " | " + page.Mark(good, form, g.bound)
}

// table writes one figure of all candidates, and its ratio for fiso-link.
func (b *bench) table(out io.Writer, results []*result, title, form string, get func(figures) float64, who []string, has func(Scenario) bool) {
	var rows strings.Builder
	for _, r := range results {
		if !has(r.Scenario) {
			continue
		}
		fmt.Fprintf(&rows, "| %s |", r.Title)
		for _, name := range who {
			value, ok := r.median(name, get)
			switch ratio, _ := r.ratio(fiso, name, "", get); {
			case !ok:
				rows.WriteString(" – |")
			case name == fiso || name == direct || len(r.by[fiso]) == 0:
				fmt.Fprintf(&rows, " "+form+" |", value)
			default:
				fmt.Fprintf(&rows, " "+form+" (%.2f) |", value, ratio)
			}
		}
		rows.WriteString("\n")
	}
	if rows.Len() > 0 {
		fmt.Fprintf(out, "\n| %s | %s |\n|---|%s\n%s", title, strings.Join(who, " | "), strings.Repeat("--:|", len(who)), rows.String())
	}
}

// added writes the latency that each candidate adds to a call on an idle system.
func (b *bench) added(out io.Writer, results []*result) {
	var rows strings.Builder
	for _, r := range results {
		without, ok := r.median(direct, p50)
		if !ok || r.Conns != 1 {
			continue
		}
		fmt.Fprintf(&rows, "| %s |", r.Title)
		for _, name := range []string{fiso, nginx, library, floorProxy} {
			value, ok := r.median(name, p50)
			if !ok {
				rows.WriteString(" – |")
				continue
			}
			fmt.Fprintf(&rows, " %.0f |", value-without)
		}
		rows.WriteString("\n")
	}
	if rows.Len() > 0 {
		fmt.Fprintf(out, "\n| latency added (p50 less the direct call's), µs | fiso-link | nginx | ReverseProxy | floor |\n|---|--:|--:|--:|--:|\n%s", rows.String())
	}
}

// absent writes which candidates did not take part, and why.
func (b *bench) absent(out io.Writer, results []*result) {
	for _, r := range results {
		for _, name := range r.candidates() {
			if why := b.missing[r.Name+name]; why != "" {
				fmt.Fprintf(out, "\n%s without %s: %s.\n", r.Title, name, why)
			}
		}
	}
}
