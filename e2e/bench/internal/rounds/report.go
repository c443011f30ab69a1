package rounds

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/page"
)

// cpuGoal limits the CPU time of an event relative to the floor.
const cpuGoal = 1.3

// result is all rounds of a scenario.
type result struct {
	Scenario
	floor, fiso []figures // by round
}

func (r *result) add(side string, f figures) {
	if side == "floor" {
		r.floor = append(r.floor, f)
	} else {
		r.fiso = append(r.fiso, f)
	}
}

// same fails unless all runs of both sides delivered the same bytes.
func (r *result) same() error {
	for i, f := range slices.Concat(r.floor, r.fiso) {
		if f.Sum != r.floor[0].Sum {
			return fmt.Errorf("fiso-flow and the floor did not deliver the same events (run %d)", i)
		}
	}
	return nil
}

// median returns the median of get over all rounds.
func median(all []figures, get func(figures) float64) float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = get(f)
	}
	return page.Median(values)
}

// ratio returns the median of fiso/floor over all rounds.
func (r *result) ratio(get func(figures) float64) float64 {
	values := make([]float64, len(r.fiso))
	for i := range r.fiso {
		values[i] = get(r.fiso[i]) / max(get(r.floor[i]), 1e-9)
	}
	return page.Median(values)
}

func rate(f figures) float64   { return f.Rate }
func spent(f figures) float64  { return micros(f.CPU) }
func allocs(f figures) float64 { return f.Mallocs }
func mib(f figures) float64    { return float64(f.Peak) / (1 << 20) }
func p50(f figures) float64    { return float64(f.P50) / float64(time.Millisecond) }
func p99(f figures) float64    { return float64(f.P99) / float64(time.Millisecond) }

// report writes the tables as Markdown.
func report(out io.Writer, opts Options, results []result) {
	fmt.Fprintf(out, "\n`%s` on %s; rounds: %d; fiso-flow / floor, medians; a ratio is the median of the rounds' ratios.\n\n", opts.Command,
		page.Machine(), opts.Rounds)
	fmt.Fprintln(out, "| scenario | events | events/s | ratio | goal | CPU an event, µs | ratio | goal |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		goal := page.Mark(r.ratio(rate) >= r.Goal, "≥ %.2f", r.Goal)
		spending := page.Mark(r.ratio(spent) <= cpuGoal, "≤ %.1f", cpuGoal)
		fmt.Fprintf(out, "| %s | %d | %s | %s | %s | %s |\n", r.Title, r.Records.Count, r.cells("%.0f", rate, 0), goal, r.cells("%.1f", spent, 0), spending)
	}
	fmt.Fprintf(out, "\nLatency is that from the producer to the sink, at %d events a second.\n\n", pace)
	fmt.Fprintln(out, "| scenario | allocations an event | ratio | peak RSS, MiB | ratio | p50, ms | ratio | p99, ms | ratio |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		latency := "– | – | – | –"
		if r.hasLatency() {
			latency = r.cells("%.2f", p50, 0) + " | " + r.cells("%.2f", p99, 0)
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s |\n", r.Title, r.cells("%.1f", allocs, 1), r.cells("%.0f", mib, 0), latency)
	}
	for _, r := range results {
		if r.Delay > 0 {
			best := float64(r.Workers) / r.Delay.Seconds()
			fmt.Fprintf(out, "\n%s: %d calls at once could do %.0f/s where CPU is no limit; fiso-flow reached %.0f %% of that, the floor %.0f %%.\n", r.Title,
				r.Workers, best, 100*median(r.fiso, rate)/best, 100*median(r.floor, rate)/best)
		}
	}
	scaling(out, results)
}

// cells formats both figures and their ratio. If the floor is below least, the ratio means nothing
// and is omitted.
func (r *result) cells(format string, get func(figures) float64, least float64) string {
	fiso, floor := median(r.fiso, get), median(r.floor, get)
	ratio := fmt.Sprintf("%.2f", r.ratio(get))
	if floor < least {
		ratio = "–"
	}
	return fmt.Sprintf(format+" / "+format+" | %s", fiso, floor, ratio)
}

// scaling writes the events per second of CPU time with 1, 8 and 64 partitions.
func scaling(out io.Writer, results []result) {
	var by [3]*result
	for i, name := range []string{"partitions-1", "post", "partitions-64"} {
		at := slices.IndexFunc(results, func(r result) bool { return r.Name == name })
		if at < 0 {
			return
		}
		by[i] = &results[at]
	}
	fmt.Fprint(out, "\nEvents per second of CPU with 1, 8 and 64 partitions, relative to 8:")
	for i, side := range []func(*result) []figures{func(r *result) []figures { return r.fiso }, func(r *result) []figures { return r.floor }} {
		worth := func(r *result) float64 { return 1 / median(side(r), spent) }
		fmt.Fprintf(out, "%s %.2f, 1, %.2f", []string{" fiso-flow", "; floor"}[i], worth(by[0])/worth(by[1]), worth(by[2])/worth(by[1]))
	}
	fmt.Fprintln(out, ".")
}
