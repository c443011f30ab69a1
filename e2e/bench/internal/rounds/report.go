package rounds

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// cpuGoal is how many times the floor's CPU an event may cost.
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

// same fails unless every run of both sides delivered the same bytes.
func (r *result) same() error {
	if r.PerSecond > 0 {
		return nil // records carry the time they were written at
	}
	for i, f := range slices.Concat(r.floor, r.fiso) {
		if f.Sum != r.floor[0].Sum {
			return fmt.Errorf("fiso-flow and the floor did not deliver the same events (run %d)", i)
		}
	}
	return nil
}

// median of what get gives for each round.
func median(all []figures, get func(figures) float64) float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = get(f)
	}
	return middle(values)
}

// ratio is the median of fiso to floor, round by round.
func (r *result) ratio(get func(figures) float64) float64 {
	values := make([]float64, len(r.fiso))
	for i := range r.fiso {
		values[i] = get(r.fiso[i]) / max(get(r.floor[i]), 1e-9)
	}
	return middle(values)
}

func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[n/2] + values[(n-1)/2]) / 2
}

func rate(f figures) float64   { return f.Rate }
func spent(f figures) float64  { return micros(f.CPU) }
func allocs(f figures) float64 { return f.Mallocs }
func mib(f figures) float64    { return float64(f.Peak) / (1 << 20) }
func p50(f figures) float64    { return float64(f.P50) / float64(time.Millisecond) }
func p99(f figures) float64    { return float64(f.P99) / float64(time.Millisecond) }

// report writes the tables, as Markdown.
func report(out io.Writer, opts Options, results []result) {
	fmt.Fprintf(out, "\n%s, %d rounds, fiso-flow / floor; medians.\n\n", machine(), opts.Rounds)
	fmt.Fprintln(out, "| scenario | events | events/s | ratio | goal | CPU an event, µs | ratio | goal | peak RSS, MiB | allocations an event |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		if r.PerSecond > 0 {
			continue
		}
		goal := mark(r.ratio(rate) >= r.Goal, "≥ %.2f", r.Goal)
		spending := mark(r.ratio(spent) <= cpuGoal, "≤ %.1f", cpuGoal)
		fmt.Fprintf(out, "| %s | %d | %.0f / %.0f | %.2f | %s | %.1f / %.1f | %.2f | %s | %.0f / %.0f | %.1f / %.1f |\n",
			r.Title, r.Records.Count, median(r.fiso, rate), median(r.floor, rate), r.ratio(rate), goal,
			median(r.fiso, spent), median(r.floor, spent), r.ratio(spent), spending,
			median(r.fiso, mib), median(r.floor, mib), median(r.fiso, allocs), median(r.floor, allocs))
	}
	for _, r := range results {
		if r.PerSecond > 0 {
			fmt.Fprintf(out, "\nLatency from the producer to the sink, %s: p50 %.2f / %.2f ms, p99 %.2f / %.2f ms; CPU an event %.0f / %.0f µs.\n",
				r.Title, median(r.fiso, p50), median(r.floor, p50), median(r.fiso, p99), median(r.floor, p99), median(r.fiso, spent), median(r.floor, spent))
		}
		if r.Delay > 0 {
			fmt.Fprintf(out, "\n%s: %d calls at once could do %.0f/s where CPU is no limit; fiso-flow reached %.0f %% of that, the floor %.0f %%.\n", r.Title,
				r.Workers, best(r), 100*median(r.fiso, rate)/best(r), 100*median(r.floor, rate)/best(r))
		}
	}
}

// best is what as many calls at once as there are workers could do.
func best(r result) float64 { return float64(r.Workers) / r.Delay.Seconds() }

func mark(good bool, format string, goal float64) string {
	text := fmt.Sprintf(format, goal)
	if good {
		return text
	}
	return "**" + text + "**"
}

// machine is what the figures were taken on.
func machine() string {
	cpu := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name, err := field(string(info), "model name"); err == nil {
			cpu = name
		}
	}
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	return fmt.Sprintf("%d cores (%s), %s %s/%s, load at the end %s", runtime.NumCPU(), cpu, runtime.Version(), runtime.GOOS, runtime.GOARCH, load)
}

func field(text, name string) (string, error) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.New("no such field")
}
