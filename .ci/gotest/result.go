package gotest

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/lsm/fiso/.ci/repo"
)

// result is how the tests of one module went.
type result struct {
	module   *repo.Module
	passed   int
	failed   int
	failures []string
	skipped  []skip
	coverage *coverage // nil where it was not measured
	seconds  float64
}

type skip struct{ test, reason string }

func newResult(m *repo.Module) *result { return &result{module: m} }

func (r *result) fail(what string) {
	r.failed++
	r.failures = append(r.failures, what)
}

func (r *result) failedIn(pkg string) bool {
	for _, f := range r.failures {
		if strings.HasPrefix(f, pkg+" ") {
			return true
		}
	}
	return false
}

// summarize prints what went wrong, then the table, then one line that counts,
// and returns an error when a test failed or a bound was missed.
func summarize(opts Options, results []*result) error {
	var faults []string
	passed, failed, skipped := 0, 0, 0
	for _, r := range results {
		passed, failed, skipped = passed+r.passed, failed+r.failed, skipped+len(r.skipped)
		for _, f := range r.failures {
			faults = append(faults, "failed: "+f)
		}
		for _, s := range r.skipped {
			fmt.Fprintf(opts.Out, "skipped: %s: %s\n", s.test, s.reason)
		}
		if n := len(r.skipped); n > 0 && opts.NoSkips {
			faults = append(faults, fmt.Sprintf("%s: %d tests were skipped, and none may be here", r.module.Dir, n))
		}
		if r.coverage != nil && r.coverage.percent() < opts.MinCoverage && !slices.Contains(opts.Unbound, r.module.Dir) {
			faults = append(faults, fmt.Sprintf("%s: the tests reach %.1f %% of its code, %.0f %% is due; farthest off:\n%s",
				r.module.Dir, r.coverage.percent(), opts.MinCoverage, r.coverage.worst(10)))
		}
	}
	table(opts, results)
	for _, f := range faults {
		fmt.Fprintln(opts.Out, f)
	}
	fmt.Fprintf(opts.Out, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if len(faults) > 0 {
		return fmt.Errorf("tests: %w: %d faults, listed above", ErrFailed, len(faults))
	}
	return nil
}

func table(opts Options, results []*result) {
	w := tabwriter.NewWriter(opts.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nmodule\tpassed\tfailed\tskipped\tcoverage\tseconds\t")
	for _, r := range results {
		cover := "-"
		if r.coverage != nil {
			cover = fmt.Sprintf("%.1f %%", r.coverage.percent())
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%.0f\t\n", r.module.Dir, r.passed, r.failed, len(r.skipped), cover, r.seconds)
	}
	_ = w.Flush() // prints to opts.Out, whose faults have nowhere to be told
	fmt.Fprintln(opts.Out)
}
