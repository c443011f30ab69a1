package rules

import (
	"path"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// updates is the file in which GitHub reads which modules to keep up to date.
const updates = ".github/dependabot.yml"

// Updates refuses a module that the list of dependency updates leaves out.
func Updates(r *repo.Repo) ([]Finding, error) {
	if !exists(r, updates) {
		return nil, nil
	}
	data, err := r.Read(updates)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if item, ok := strings.CutPrefix(strings.TrimSpace(line), "- /"); ok {
			listed[path.Clean("/"+item)] = true
		}
	}
	var found []Finding
	for _, m := range r.Modules {
		if dir := path.Join("/", m.Dir); !listed[dir] {
			found = append(found, Finding{File: updates, Message: "leaves out the module in " + m.Dir + "; add the line `- " + dir + "` to directories"})
		}
	}
	return found, nil
}
