package rules

import (
	"fmt"
	"path"
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

// Arrows refuses that a module requires a sibling against the arrows. What a
// module imports, in tests and for every system and tag, its go.mod requires:
// `go tool mage tidy` sees to that, and check refuses a tree that is not tidy.
func Arrows(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, m := range r.Modules {
		for _, req := range m.Mod.Require {
			if target := r.Sibling(req.Mod.Path); target != nil && !req.Indirect && !mayImport(m.Dir, target.Dir) {
				found = append(found, Finding{
					File: path.Join(m.Dir, "go.mod"), Line: req.Syntax.Start.Line,
					Message: fmt.Sprintf("%s may not import %s: %s", m.Dir, target.Dir, advice(m.Dir)),
				})
			}
		}
	}
	return found, nil
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
