package pipeline

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// commands are the folders of a module, seen from it, that hold one of its
// commands. The pipeline's own (.ci/cmd) is run with `go tool`, never built apart.
func commands(m *repo.Module) []string {
	var dirs []string
	for _, dir := range m.PackageDirs() {
		if path.Dir(dir) == "cmd" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// grep gives, for every folder of the module with a file that passes keep, what
// the first group of the pattern matched there.
func grep(r *repo.Repo, m *repo.Module, keep func(file string) bool, pattern *regexp.Regexp) (map[string][]string, error) {
	found := map[string][]string{}
	for _, file := range m.Files {
		if !keep(file) || strings.Contains(file, "testdata/") {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return nil, err
		}
		for _, match := range pattern.FindAllSubmatch(data, -1) {
			dir := "./" + m.Rel(path.Dir(file))
			found[dir] = append(found[dir], string(match[1]))
		}
	}
	return found, nil
}

func isIntegration(file string) bool { return strings.HasSuffix(file, "integration_test.go") }

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

func isGo(file string) bool { return strings.HasSuffix(file, ".go") }

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
