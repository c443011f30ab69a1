package rules

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// arrows say which modules a module may import, by folder; a name that ends in
// a star stands for all folders that begin so. A module always may import
// itself. A module that no line speaks of may import no other.
var arrows = []struct {
	module string
	may    []string
}{
	{".", nil},
	{"common", nil},
	{"cel", []string{"common"}},
	{"connectors/*", []string{"common"}},
	{"delivery", []string{"common"}},
	{"flow", []string{"cel", "common", "delivery", "connectors/*"}},
	{"link", []string{"cel", "common", "delivery", "connectors/kafka"}},
	{"operator", []string{"common", "flow", "link"}},
	{"e2e", []string{"*"}},
}

// Arrows refuses an import of a sibling module against the arrows, in tests too.
func Arrows(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, m := range r.Modules {
		for _, file := range m.Files {
			if path.Ext(file) != ".go" {
				continue
			}
			some, err := fileArrows(r, m, file)
			if err != nil {
				return found, err
			}
			found = append(found, some...)
		}
	}
	return found, nil
}

func fileArrows(r *repo.Repo, m *repo.Module, file string) ([]Finding, error) {
	src, err := r.Read(file)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, src, parser.ImportsOnly)
	if err != nil {
		if strings.Contains(file, "testdata/") {
			return nil, nil // may be wrong on purpose
		}
		return []Finding{{File: file, Message: "is not Go: " + err.Error()}}, nil
	}
	var found []Finding
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has let no such literal through
		}
		if target := owner(r, imported); target != nil && target != m && !mayImport(m.Dir, target.Dir) {
			found = append(found, Finding{
				File: file, Line: fset.Position(spec.Pos()).Line,
				Message: fmt.Sprintf("%s may not import %s (%s): %s", m.Dir, target.Dir, imported, advice(m.Dir)),
			})
		}
	}
	return found, nil
}

// owner is the module of the tree that a package belongs to, by its path.
func owner(r *repo.Repo, imported string) *repo.Module {
	var found *repo.Module
	for _, m := range r.Modules {
		if (imported == m.Path || strings.HasPrefix(imported, m.Path+"/")) && (found == nil || len(m.Path) > len(found.Path)) {
			found = m
		}
	}
	return found
}

func mayImport(from, to string) bool {
	for _, a := range arrows {
		if !matches(a.module, from) {
			continue
		}
		for _, may := range a.may {
			if matches(may, to) {
				return true
			}
		}
	}
	return false
}

func advice(from string) string {
	for _, a := range arrows {
		if matches(a.module, from) && len(a.may) > 0 {
			return "it may import " + strings.Join(a.may, ", ") + "; move what both need into common"
		}
	}
	return "it may import no sibling; move what both need into common, or give it in from outside"
}

func matches(pattern, dir string) bool {
	prefix, wild := strings.CutSuffix(pattern, "*")
	return wild && strings.HasPrefix(dir, prefix) || pattern == dir
}
