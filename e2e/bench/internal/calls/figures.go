package calls

import (
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/page"
)

// figures are the results of one run.
type figures struct {
	rate     float64 // calls or events per second
	cpu      time.Duration
	resident int64 // bytes, at the end
	p50, p99 time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("%8.0f/s %6.1f µs CPU %4d MiB  p50 %v p99 %v", f.rate, micros(f.cpu), f.resident>>20, f.p50.Round(time.Microsecond),
		f.p99.Round(time.Microsecond))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// result is all rounds of a scenario, by candidate.
type result struct {
	Scenario
	by map[string][]figures
}

func rate(f figures) float64  { return f.rate }
func spent(f figures) float64 { return micros(f.cpu) }
func mib(f figures) float64   { return float64(f.resident) / (1 << 20) }
func p50(f figures) float64   { return micros(f.p50) }
func p99(f figures) float64   { return micros(f.p99) }

// median returns the median of get over all rounds; false if name took no part.
func (r *result) median(name string, get func(figures) float64) (float64, bool) {
	all := r.by[name]
	if len(all) == 0 {
		return 0, false
	}
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = get(f)
	}
	return page.Median(values), true
}

// ratio returns the median of a/b over all rounds. The figure of the candidate less is first
// subtracted from both; "": nothing is subtracted.
func (r *result) ratio(a, b, less string, get func(figures) float64) (float64, bool) {
	n := min(len(r.by[a]), len(r.by[b]))
	if less != "" {
		n = min(n, len(r.by[less]))
	}
	if n == 0 {
		return 0, false
	}
	values := make([]float64, n)
	for i := range values {
		off := 0.0
		if less != "" {
			off = get(r.by[less][i])
		}
		values[i] = (get(r.by[a][i]) - off) / max(get(r.by[b][i])-off, 1e-9)
	}
	return page.Median(values), true
}

// goal is a goal for fiso-link.
type goal struct {
	scenario, what string
	get            func(*result) (float64, bool)
	form           string // format of the figure and of the bound
	bound          float64
	least          bool // the bound is a minimum, not a maximum
}

// goals are the goals of the benchmark.
var goals = []goal{
	{"small-64", "calls a second, to nginx's", compare(fiso, nginx, "", rate), "%.2f", 0.7, true},
	{"small-64", "CPU a call, to nginx's", compare(fiso, nginx, "", spent), "%.2f", 2, false},
	{"small-64", "calls a second of CPU, to ReverseProxy's", compare(library, fiso, "", spent), "%.1f", 4, true},
	{"small-64", "p99, to the floor's", compare(fiso, floorProxy, "", p99), "%.2f", 1.5, false},
	{"small-1", "latency added (p50 less the direct call's), to nginx's", compare(fiso, nginx, direct, p50), "%.2f", 2.5, false},
	{"idle", "resident memory, MiB", func(r *result) (float64, bool) { return r.median(fiso, mib) }, "%.1f", 40, false},
}

func compare(a, b, less string, get func(figures) float64) func(*result) (float64, bool) {
	return func(r *result) (float64, bool) { return r.ratio(a, b, less, get) }
}
