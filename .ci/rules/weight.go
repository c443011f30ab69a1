package rules

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// technologies say which modules may be compiled with what, tests apart: prefixes
// of import paths, and folders. A connector is a library of its own, which brings
// its one technology and nothing else's; what all parts share brings none.
var technologies = []struct {
	paths   []string
	modules []string
}{
	{[]string{"github.com/twmb/franz-go"}, []string{"connectors/kafka", "flow", "link", "e2e"}},
	{[]string{"github.com/google/cel-go"}, []string{"cel", "flow", "link", "e2e"}},
	{[]string{"github.com/valyala/fasthttp"}, []string{"e2e"}},
	{[]string{"google.golang.org/grpc"}, []string{"connectors/grpc", "connectors/temporal", "flow", "e2e"}},
	{[]string{"go.temporal.io"}, []string{"connectors/temporal", "flow", "e2e"}},
	{[]string{"k8s.io", "sigs.k8s.io"}, []string{"operator", "e2e"}},
	{[]string{"github.com/gin-gonic/gin", "github.com/labstack/echo", "github.com/gofiber/fiber", "github.com/go-chi/chi"}, nil},
}

// Weight refuses a module that compiles, directly or not, something that the
// table above keeps out of it.
func Weight(ctx context.Context, r *repo.Repo, modules []*repo.Module) ([]Finding, error) {
	var found []Finding
	for _, m := range modules {
		patterns := m.Patterns()
		if len(patterns) == 0 {
			continue
		}
		list := repo.Cmd{Dir: m.Abs(), Args: append([]string{"go", "list", "-deps"}, patterns...)}
		out, err := list.Output(ctx)
		if err != nil {
			return found, fmt.Errorf("listing what %s is built from: %w", m.Path, err)
		}
		for _, bad := range Kept(m.Dir, strings.Fields(string(out))) {
			found = append(found, Finding{
				File:    path.Join(m.Dir, "go.mod"),
				Message: fmt.Sprintf("the module compiles %s, which is too heavy for it; `go mod why %s` says who asks for it", bad, bad),
			})
		}
	}
	return found, nil
}

// Kept gives those of the packages that are kept out of the module in folder dir.
func Kept(dir string, packages []string) []string {
	var bad []string
	for _, pkg := range packages {
		for _, t := range technologies {
			if hasPrefix(pkg, t.paths) && !slices.Contains(t.modules, dir) {
				bad = append(bad, pkg)
				break
			}
		}
	}
	return bad
}

func hasPrefix(pkg string, prefixes []string) bool {
	for _, p := range prefixes {
		if pkg == p || strings.HasPrefix(pkg, p+"/") {
			return true
		}
	}
	return false
}
