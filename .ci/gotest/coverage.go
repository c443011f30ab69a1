package gotest

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/tools/cover"

	"github.com/lsm/fiso/.ci/repo"
)

// Bound says how much of each module's code the tests must reach.
type Bound struct {
	// Percent is that share.
	Percent float64
	// Unbound are folders of modules whose coverage is printed and not judged.
	Unbound []string
}

// Coverage prints how much of the code of each module the tests reached, as the
// profile of a run says, and refuses a module below the bound.
func Coverage(out io.Writer, profile string, modules []*repo.Module, bound Bound) error {
	files, err := cover.ParseProfiles(profile)
	if err != nil {
		return fmt.Errorf("reading the coverage: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "module\tcoverage\t")
	var faults []string
	for _, m := range modules {
		own, err := ownFiles(m, files)
		if err != nil {
			return err
		}
		percent := reached(own)
		fmt.Fprintf(w, "%s\t%.1f %%\t\n", m.Dir, percent)
		if percent < bound.Percent && !slices.Contains(bound.Unbound, m.Dir) {
			faults = append(faults, fmt.Sprintf("%s: the tests reach %.1f %% of its code, %.0f %% is due; farthest off:%s",
				m.Dir, percent, bound.Percent, worst(m, own, 10)))
		}
	}
	_ = w.Flush() // prints to out, whose faults have nowhere to be told
	for _, f := range faults {
		fmt.Fprintln(out, f)
	}
	if len(faults) > 0 {
		return fmt.Errorf("coverage: %w: %d modules, listed above", ErrFailed, len(faults))
	}
	return nil
}

// generated is the line that marks a file as made by a program, as `go help generate` puts it.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// ownFiles are those of the module's own code: all but the wiring of a command
// (cmd/*/main.go) and what a program made.
func ownFiles(m *repo.Module, files []*cover.Profile) ([]*cover.Profile, error) {
	var own []*cover.Profile
	for _, f := range files {
		name, inside := strings.CutPrefix(f.FileName, m.Path+"/")
		if !inside || !slices.Contains(m.Files, path.Join(m.Dir, name)) || path.Base(name) == "main.go" && path.Base(path.Dir(path.Dir(name))) == "cmd" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(m.Abs(), filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("reading a file of the coverage: %w", err)
		}
		if !generated.Match(src) {
			own = append(own, f)
		}
	}
	return own, nil
}

// reached is the share of the statements that a test reached, in percent. A
// module of types alone has no statement to reach.
func reached(files []*cover.Profile) float64 {
	all, missed := 0, 0
	for _, f := range files {
		for _, b := range f.Blocks {
			all += b.NumStmt
		}
		missed += missing(f)
	}
	if all == 0 {
		return 100
	}
	return 100 * float64(all-missed) / float64(all)
}

func missing(f *cover.Profile) (statements int) {
	for _, b := range f.Blocks {
		if b.Count == 0 {
			statements += b.NumStmt
		}
	}
	return statements
}

// worst names the n files with the most statements that no test reached, with the lines.
func worst(m *repo.Module, files []*cover.Profile, n int) string {
	slices.SortStableFunc(files, func(a, b *cover.Profile) int { return missing(b) - missing(a) })
	var text strings.Builder
	for _, f := range files[:min(n, len(files))] {
		if missing(f) == 0 {
			break
		}
		fmt.Fprintf(&text, "\n  %s: %d statements not reached, lines", path.Join(m.Dir, strings.TrimPrefix(f.FileName, m.Path+"/")), missing(f))
		for _, b := range f.Blocks {
			if b.Count == 0 && b.NumStmt > 0 {
				fmt.Fprintf(&text, " %d-%d", b.StartLine, b.EndLine)
			}
		}
	}
	return text.String()
}
