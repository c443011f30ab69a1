package rules

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// glossaryTable is the heading of the section in a DESIGN.md that says what each
// term means and where it lives.
const glossaryTable = "## Glossary"

// glossaryPlace is a folder and a name that is declared there, or a method as
// Type.Method.
var glossaryPlace = regexp.MustCompile("`([\\w./-]+) (?:(\\w+)\\.)?(\\w+)`")

// Glossary refuses a term that stands there twice, and one that lives where
// nothing of that name is declared.
func Glossary(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, file := range r.Files {
		if path.Base(file) != "DESIGN.md" {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return found, err
		}
		some, err := glossaryRows(r, file, string(data))
		if err != nil {
			return found, err
		}
		found = append(found, some...)
	}
	return found, nil
}

func glossaryRows(r *repo.Repo, file, text string) ([]Finding, error) {
	var found []Finding
	inside, terms := false, map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "## ") {
			inside = line == glossaryTable
		}
		cells := strings.Split(line, "|")
		if !inside || len(cells) != 5 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		term := strings.TrimSpace(cells[1])
		if terms[term] {
			found = append(found, Finding{File: file, Line: i + 1, Message: fmt.Sprintf("explains %q a second time; one name is one concept", term)})
		}
		terms[term] = true
		for _, at := range glossaryPlace.FindAllStringSubmatch(cells[3], -1) {
			declared, err := declares(r, at[1], at[2], at[3])
			if err != nil {
				return found, err
			}
			if !declared {
				found = append(found, Finding{File: file, Line: i + 1, Message: fmt.Sprintf("%q lives at %s, where it is not declared; correct the place", term, at[0])})
			}
		}
	}
	return found, nil
}

// declares reports whether a folder's package declares a name, as a method of
// receiver if that is not empty.
func declares(r *repo.Repo, dir, receiver, name string) (bool, error) {
	pattern := `(?m)^(?:func |type |var |const |\t)` + name + `\b`
	if receiver != "" {
		pattern = `(?m)^func \((?:\w+ )?\*?` + receiver + `(?:\[\w+\])?\) ` + name + `\b`
	}
	declaration, err := regexp.Compile(pattern)
	if err != nil {
		return false, err
	}
	for _, file := range r.Files {
		if path.Dir(file) != dir || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := r.Read(file)
		if err != nil {
			return false, err
		}
		if declaration.Match(src) {
			return true, nil
		}
	}
	return false, nil
}
