// Package mutants puts known faults back, one at a time and not into the tree
// itself, and wants the tests to find each: it is the test of the tests.
//
// A mutant is a text file with a head, and edits. An edit is a place to search
// for and what to put there; it stands once in its file, and so outlives that
// lines move:
//
//	hazard: F1
//	fault: what a revoked partition held counts as done
//	tests: delivery . ^TestF1_
//
//	--- delivery/assignment.go
//	<<<<
//	e.settle(it, Interrupted, time.Now())
//	====
//	e.settle(it, Filtered, time.Now())
//	>>>>
package mutants

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// Dir is the folder of the tree that holds the mutants.
const Dir = "e2e/testdata/mutants"

const suffix = ".mutant"

// Mutant is one fault that the tests must find.
type Mutant struct {
	// File is where it stands in the tree.
	File string
	// Hazard is the number of what it puts back, such as F1, or U1 for a fault
	// that was found in use.
	Hazard string
	// Fault says in a few words what is then wrong.
	Fault string
	// Tests are those that must find it; one that fails will do.
	Tests []Tests

	edits []edit
}

// Tests are tests of one package: the folder of its module, the package as seen
// from there, and a pattern as `go test -run` takes it.
type Tests struct{ Module, Package, Run string }

type edit struct{ file, search, replace string }

// Load reads the mutants of the tree, sorted by file.
func Load(r *repo.Repo) ([]*Mutant, error) {
	var all []*Mutant
	for _, file := range r.Files {
		if path.Dir(file) != Dir || path.Ext(file) != suffix {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return nil, err
		}
		m, err := parse(file, string(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, m)
	}
	return all, nil
}

var (
	hazardName = regexp.MustCompile(`^[A-Z]+\d+$`)
	editBlock  = regexp.MustCompile(`(?s)^<<<<\n(.*?)\n====\n(.*?)\n?>>>>\n`)
)

func parse(file, text string) (*Mutant, error) {
	m := &Mutant{File: file}
	head, rest, _ := strings.Cut(text, "\n--- ")
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "hazard":
			m.Hazard = value
		case "fault":
			m.Fault = value
		case "tests":
			f := strings.Fields(value)
			if len(f) != 3 {
				return nil, fmt.Errorf("tests are a module's folder, a package and a pattern: %q", value)
			}
			m.Tests = append(m.Tests, Tests{f[0], f[1], f[2]})
		case "":
		default:
			return nil, fmt.Errorf("%q is neither hazard, fault nor tests", line)
		}
	}
	if !hazardName.MatchString(m.Hazard) || m.Fault == "" || len(m.Tests) == 0 || rest == "" {
		return nil, errors.New("a mutant has a hazard such as F1, a fault, tests, and edits below `--- file`")
	}
	for _, part := range strings.Split("\n"+rest, "\n--- ") {
		name, blocks, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
		if err := m.parseEdits(name, blocks); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Mutant) parseEdits(file, blocks string) error {
	for {
		blocks = strings.TrimLeft(blocks, "\n")
		b := editBlock.FindStringSubmatch(blocks)
		switch {
		case b != nil:
			m.edits = append(m.edits, edit{file, b[1], b[2]})
			blocks = blocks[len(b[0]):]
		case blocks != "":
			return fmt.Errorf("below --- %s: an edit is <<<<, what to search for, ====, what to put there, >>>>, each on lines of its own", file)
		default:
			return nil
		}
	}
}

// Apply gives the files that the mutant changes, with what they hold then. The
// error says why it can no longer be applied.
func (m *Mutant) Apply(r *repo.Repo) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, seen := changed[e.file]
		if !seen {
			if !slices.Contains(r.Files, e.file) {
				return nil, fmt.Errorf("renew it: %s is no more", e.file)
			}
			data, err := r.Read(e.file)
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, e.search); n != 1 {
			return nil, fmt.Errorf("renew it: in %s this stands %d times, and must once:\n%s", e.file, n, e.search)
		}
		changed[e.file] = strings.Replace(text, e.search, e.replace, 1)
	}
	return changed, nil
}
