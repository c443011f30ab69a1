package rules

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// heavy says what must not be compiled into a program that uses a module of
// ours, tests apart: prefixes of import paths, by module folder.
var heavy = []struct {
	module string
	never  []string
}{
	// The words all parts share pull no broker, no cluster and no expression language in.
	{"common", []string{
		"github.com/twmb/franz-go", "github.com/google/cel-go", "github.com/valyala/fasthttp",
		"go.temporal.io", "k8s.io", "sigs.k8s.io",
	}},
	// Delivery knows neither sources nor destinations.
	{"delivery", []string{
		"github.com/twmb/franz-go", "github.com/google/cel-go", "github.com/valyala/fasthttp",
		"go.temporal.io", "k8s.io", "sigs.k8s.io",
	}},
	// Expressions bring cel-go, and nothing that moves events.
	{"cel", []string{"go.temporal.io", "k8s.io", "sigs.k8s.io", "github.com/twmb/franz-go", "github.com/valyala/fasthttp"}},
	// A connector is a library of its own: it brings its one technology and nothing else's.
	{"connectors/kafka", []string{"go.temporal.io", "k8s.io", "sigs.k8s.io", "github.com/google/cel-go", "github.com/valyala/fasthttp"}},
	{"connectors/http", []string{"go.temporal.io", "k8s.io", "sigs.k8s.io", "github.com/google/cel-go", "github.com/twmb/franz-go"}},
	{"*", []string{
		"github.com/gin-gonic/gin", "github.com/labstack/echo", "github.com/gofiber/fiber", "github.com/go-chi/chi",
	}},
}

// Weight refuses a module that compiles, directly or not, something that the
// list above keeps out of it.
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
		for _, h := range heavy {
			if matches(h.module, dir) && hasPrefix(pkg, h.never) {
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
