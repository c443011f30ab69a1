package rules

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/lsm/fiso/.ci/mutants"
	"github.com/lsm/fiso/.ci/repo"
)

// hazardTables are the headings of the sections in a DESIGN.md that say which
// test keeps which fault out: one that others shipped, or one of ours (its
// number begins with U) that was found in use.
var hazardTables = []string{"## Hazards and their tests", "## Faults found in use and their tests"}

var (
	hazardRow  = regexp.MustCompile(`^\| ((?:[FL]|UL?)\d+) \|`)
	hazardTest = regexp.MustCompile("`(\\S+) ((?:Test|Fuzz)\\w+)`")
	testFunc   = regexp.MustCompile(`(?m)((?:^//.*\n)*)^func ((?:Test|Fuzz)\w+)\(`)
	sourceLink = regexp.MustCompile(`https://|CVE-\d|GHSA-`)
)

// Hazards refuses a row of these tables whose test is not there, or does not
// say in its comment which hazard it is about and where it happened.
func Hazards(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	var tests map[string]string
	for _, file := range r.Files {
		if path.Base(file) != "DESIGN.md" {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return nil, err
		}
		for _, heading := range hazardTables {
			before, table, ok := strings.Cut(string(data), heading+"\n")
			if !ok {
				continue
			}
			if tests == nil {
				if tests, err = testComments(r); err != nil {
					return nil, err
				}
			}
			first := strings.Count(before, "\n") + 1
			table, _, _ = strings.Cut(table, "\n## ")
			for i, line := range strings.Split(table, "\n") {
				for _, fault := range rowFaults(line, tests) {
					found = append(found, Finding{File: file, Line: first + 1 + i, Message: fault})
				}
			}
		}
	}
	return found, nil
}

// rowFaults is what is wrong with one line of the table.
func rowFaults(line string, tests map[string]string) []string {
	row := hazardRow.FindStringSubmatch(line)
	if row == nil {
		return nil
	}
	named := hazardTest.FindAllStringSubmatch(line, -1)
	if len(named) == 0 {
		return []string{row[1] + " has no test: name one, as `folder TestName`"}
	}
	var faults []string
	for _, m := range named {
		comment, there := tests[m[1]+" "+m[2]]
		switch {
		case !there:
			faults = append(faults, fmt.Sprintf("there is no %s in %s: correct the name, or write the test", m[2], m[1]))
		case !regexp.MustCompile(row[1] + `\b`).MatchString(comment):
			faults = append(faults, fmt.Sprintf("the comment of %s in %s does not name %s", m[2], m[1], row[1]))
		case row[1][0] != 'U' && !sourceLink.MatchString(comment):
			faults = append(faults, fmt.Sprintf("the comment of %s in %s does not link where it happened", m[2], m[1]))
		}
	}
	return faults
}

// testComments are the comments of all tests, by folder and name.
func testComments(r *repo.Repo) (map[string]string, error) {
	tests := map[string]string{}
	for _, file := range r.Files {
		if !strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata/") {
			continue
		}
		src, err := r.Read(file)
		if err != nil {
			return nil, err
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(src), -1) {
			tests[path.Dir(file)+" "+m[2]] = m[1]
		}
	}
	return tests, nil
}

// Mutants refuses a mutant that can no longer be applied to the tree.
func Mutants(r *repo.Repo) ([]Finding, error) {
	all, err := mutants.Load(r)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, m := range all {
		if _, err := m.Apply(r); err != nil {
			found = append(found, Finding{File: m.File, Message: err.Error()})
		}
	}
	return found, nil
}
