// Package page is shared by the reports of all benchmarks: figures in a Markdown file, medians,
// goals, and a description of the machine.
package page

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Marks around the figures in a file.
const (
	begin = "<!-- figures -->\n"
	end   = "<!-- /figures -->"
)

// Page is a file with figures: the text before and after them.
type Page struct {
	file          string
	before, after []byte
}

// Open reads a page. It fails if the file lacks the marks.
func Open(file string) (Page, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Page{}, fmt.Errorf("renew the figures: %w", err)
	}
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, foundEnd := bytes.Cut(rest, []byte(end))
	if !found || !foundEnd {
		return Page{}, fmt.Errorf("renew the figures: %s has no lines %s and %s to put them between", file, bytes.TrimSpace([]byte(begin)), end)
	}
	return Page{file, before, after}, nil
}

// Renew replaces the figures in the file.
func (p Page) Renew(figures []byte) error {
	text := bytes.Join([][]byte{p.before, []byte(begin), bytes.TrimPrefix(figures, []byte("\n")), []byte(end), p.after}, nil)
	if err := os.WriteFile(p.file, text, 0o644); err != nil {
		return fmt.Errorf("renew the figures: %w", err)
	}
	return nil
}

// Median sorts values and returns their median. There must be at least one value.
func Median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[n/2] + values[(n-1)/2]) / 2
}

// Mark formats a goal; in bold if it was missed.
func Mark(good bool, format string, goal float64) string {
	text := fmt.Sprintf(format, goal)
	if good {
		return text
	}
	return "**" + text + "**"
}

// Machine describes the machine.
func Machine() string {
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
