// Package rules holds what a pull request may not do, beyond what compilers,
// linters and tests see: the shape of the tree, who imports whom, what each
// module brings with it. Every refusal names a place and what to do there.
package rules

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// Finding is one refusal.
type Finding struct {
	// File is seen from the repository; Line counts from 1, 0 is the whole file.
	File string
	Line int
	// Message says what is wrong and what to do about it.
	Message string
}

// String is file:line: message, which editors and CI pages turn into a link.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)
}

// Rule looks at the tree and tells what it refuses. The error means that it
// could not look.
type Rule func(r *repo.Repo) ([]Finding, error)

// All are the rules that only read files, so that they take no time.
func All() []Rule {
	return []Rule{Layout, Replacements, Documents, Arrows, Sleeps, Links, MachinePaths, Glossary, Hazards, Mutants}
}

// Check applies the rules and gives all findings, in the order of the rules.
func Check(r *repo.Repo, list []Rule) ([]Finding, error) {
	var found []Finding
	for _, rule := range list {
		some, err := rule(r)
		if err != nil {
			return found, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// topLevel is all that may stand at the top of the repository (spec, section 2),
// then what the tools demand there.
var topLevel = []string{
	"go.work", "magefile.go", "flow", "link", "operator", "common", "cel", "delivery", "connectors", "e2e", "deploy",
	".github", ".ci", "README.md", "LICENSE",
	"go.mod", "go.sum", "go.work.sum", ".gitignore", ".gitattributes", ".editorconfig", ".golangci.yml", ".goreleaser.yaml", ".dockerignore",
}

// Layout refuses anything else at the top of the repository.
func Layout(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	seen := map[string]bool{}
	for _, file := range r.Files {
		top, _, _ := strings.Cut(file, "/")
		if seen[top] || slices.Contains(topLevel, top) {
			continue
		}
		seen[top] = true
		found = append(found, Finding{File: top, Message: "does not belong at the top of the repository; move it into a module, into deploy/ or into .ci/"})
	}
	return found, nil
}

// Replacements refuses a replace line in a go.mod.
func Replacements(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, m := range r.Modules {
		for _, rep := range m.Mod.Replace {
			found = append(found, Finding{
				File: path.Join(m.Dir, "go.mod"), Line: rep.Syntax.Start.Line,
				Message: "a replace line: `go install` refuses a module that has one, and importers do not see it; tie siblings in go.work (go tool mage tidy does)",
			})
		}
	}
	return found, nil
}

// Documents refuses a module without README.md or CHANGELOG.md. The root module
// is not released and needs no CHANGELOG.md.
func Documents(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, m := range r.Modules {
		for _, name := range []string{"README.md", "CHANGELOG.md"} {
			file := path.Join(m.Dir, name)
			if slices.Contains(m.Files, file) || m.Dir == "." && name == "CHANGELOG.md" {
				continue
			}
			found = append(found, Finding{File: file, Message: "missing: every module has its own; look at common/" + name})
		}
	}
	return found, nil
}
