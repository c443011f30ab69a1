package program

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

var columns = []string{"scenario", "events", "faults", "delivered", "filtered", "dead letters", "duplicates", "bound", "missing", "out of order",
	"recovered", "seconds", "verdict"}

func cells(r *harness.Result) []string {
	n := func(n int) string { return fmt.Sprint(n) }
	verdict := r.String()
	if r.Err != nil {
		verdict = "FAILED"
	}
	return []string{
		r.Scenario, n(r.Accepted), n(r.Faults), n(r.Delivered), n(r.Filtered), n(r.DeadLetters), n(r.Duplicates), n(r.Bound), n(r.Missing), n(r.OutOfOrder),
		fmt.Sprintf("%.1f s", r.Recovered.Seconds()), fmt.Sprintf("%.0f", r.Seconds), verdict,
	}
}

// details returns the details of a result that have no column in the table.
func details(r *harness.Result) []string {
	var all []string
	for _, w := range append(append([]string{}, r.Notes...), r.Details...) {
		all = append(all, r.Scenario+": "+w)
	}
	if r.Duplicates > 0 {
		all = append(all, fmt.Sprintf("%s: the oldest repeated event was delivered %v before the crash", r.Scenario, r.Oldest.Round(time.Millisecond)))
	}
	if r.Err != nil {
		all = append(all, fmt.Sprintf("%s: %v", r.Scenario, r.Err))
	}
	return all
}

// writeTable writes the results as a Markdown table.
func writeTable(out io.Writer, results []harness.Result) {
	sum := harness.Result{Scenario: "all"}
	row := func(cells []string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }
	row(columns)
	row(strings.Split(strings.Repeat("--- ", len(columns)-1)+"---", " "))
	for _, r := range results {
		row(cells(&r))
		sum.Faults += r.Faults
		sum.Seconds += r.Seconds
		sum.Recovered = max(sum.Recovered, r.Recovered)
		sum.Add(r.Verdict)
		if r.Err != nil {
			sum.Err = r.Err
		}
	}
	row(cells(&sum))
	fmt.Fprintln(out)
	for _, r := range results {
		for _, line := range details(&r) {
			fmt.Fprintf(out, "- %s\n", line)
		}
	}
}

// writeJSON writes the results as JSON.
func writeJSON(out io.Writer, results []harness.Result) error {
	type row struct {
		harness.Result
		Good  bool
		Error string `json:",omitempty"`
	}
	var rows []row
	for _, r := range results {
		one := row{Result: r, Good: r.Good()}
		if r.Err != nil {
			one.Error = r.Err.Error()
		}
		one.Result.Err = nil
		rows = append(rows, one)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}
