package gotest

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// coverage is what the tests of one module reached of its own code.
type coverage struct{ files []*fileCoverage }

type fileCoverage struct {
	name           string // seen from the repository
	total, covered int    // statements
	blocks         map[string]*block
}

type block struct {
	firstLine, lastLine, statements int
	reached                         bool
}

func (c *coverage) percent() float64 {
	total, covered := 0, 0
	for _, f := range c.files {
		total, covered = total+f.total, covered+f.covered
	}
	return percent(covered, total)
}

// percent of nothing is everything: a module of types alone has no statement to reach.
func percent(covered, total int) float64 {
	if total == 0 {
		return 100
	}
	return 100 * float64(covered) / float64(total)
}

// worst names the n files with the most statements not reached, with the lines.
func (c *coverage) worst(n int) string {
	files := slices.Clone(c.files)
	slices.SortFunc(files, func(a, b *fileCoverage) int {
		if d := (b.total - b.covered) - (a.total - a.covered); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	var lines []string
	for _, f := range files {
		if f.covered < f.total && len(lines) < n {
			lines = append(lines, fmt.Sprintf("  %s: %d of %d statements not reached, lines %s", f.name, f.total-f.covered, f.total, f.missing()))
		}
	}
	return strings.Join(lines, "\n")
}

// missing are the lines of the blocks that no test reached, the first 8 ranges.
func (f *fileCoverage) missing() string {
	var open []*block
	for _, b := range f.blocks {
		if !b.reached && b.statements > 0 {
			open = append(open, b)
		}
	}
	slices.SortFunc(open, func(a, b *block) int { return a.firstLine - b.firstLine })
	var ranges [][2]int
	for _, b := range open {
		if last := len(ranges) - 1; last >= 0 && b.firstLine <= ranges[last][1]+1 {
			ranges[last][1] = max(ranges[last][1], b.lastLine)
			continue
		}
		ranges = append(ranges, [2]int{b.firstLine, b.lastLine})
	}
	var texts []string
	for i, r := range ranges {
		if i == 8 {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, fmt.Sprintf("%d-%d", r[0], r[1]))
	}
	return strings.Join(texts, ", ")
}

// profileLine is a line of a coverage profile: file:line.column,line.column statements count.
var profileLine = regexp.MustCompile(`^(.+):(\d+)\.(\d+),(\d+)\.(\d+) (\d+) (\d+)$`)

// readCoverage reads the profile of a module. Each package's tests report every
// package of the module, so a block counts as reached when any of them did.
func readCoverage(m *repo.Module, profile string) (*coverage, error) {
	in, err := os.Open(profile)
	if err != nil {
		return nil, fmt.Errorf("reading the coverage of %s: %w", m.Path, err)
	}
	defer in.Close() //nolint:errcheck // only read from
	files := map[string]*fileCoverage{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		parts := profileLine.FindStringSubmatch(lines.Text())
		if parts == nil {
			continue // the mode line
		}
		f := files[parts[1]]
		if f == nil {
			f = &fileCoverage{name: path.Join(m.Dir, strings.TrimPrefix(parts[1], m.Path+"/")), blocks: map[string]*block{}}
			files[parts[1]] = f
		}
		f.add(parts)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the coverage of %s: %w", m.Path, err)
	}
	c := &coverage{}
	for _, f := range files {
		own, err := counts(m, f.name)
		if err != nil {
			return nil, err
		}
		if own {
			f.sum()
			c.files = append(c.files, f)
		}
	}
	return c, nil
}

func (f *fileCoverage) add(parts []string) {
	key := strings.Join(parts[2:6], ".")
	b := f.blocks[key]
	if b == nil {
		b = &block{firstLine: number(parts[2]), lastLine: number(parts[4]), statements: number(parts[6])}
		f.blocks[key] = b
	}
	b.reached = b.reached || number(parts[7]) > 0
}

func (f *fileCoverage) sum() {
	for _, b := range f.blocks {
		f.total += b.statements
		if b.reached {
			f.covered += b.statements
		}
	}
}

// number reads digits that the pattern has already checked; counts beyond an
// int stay positive, which is all that is asked of them.
func number(digits string) int {
	n := 0
	for _, d := range digits {
		if n > 1<<40 {
			break
		}
		n = n*10 + int(d-'0')
	}
	return n
}

// generated is the line that marks a file as made by a program, as `go help generate` puts it.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// counts tells whether a file is the module's own code: all is, but for the
// wiring of a command (cmd/*/main.go) and for files that a program made.
func counts(m *repo.Module, file string) (bool, error) {
	if path.Base(file) == "main.go" && path.Base(path.Dir(path.Dir(file))) == "cmd" {
		return false, nil
	}
	src, err := os.ReadFile(filepath.Join(m.Root, filepath.FromSlash(file)))
	if err != nil {
		return false, fmt.Errorf("reading a file of the coverage: %w", err)
	}
	return !generated.Match(src), nil
}
