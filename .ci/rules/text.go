package rules

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// link is a Markdown link or picture; the target ends at a blank (a title) or the bracket.
var link = regexp.MustCompile(`\]\(<?([^)\s>]+)`)

// Links refuses a Markdown link to a file of the repository that is not there.
func Links(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, file := range r.Files {
		if path.Ext(file) != ".md" || strings.Contains(file, "testdata/") {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return found, err
		}
		fenced := false
		for i, line := range strings.Split(string(data), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			if fenced {
				continue
			}
			for _, match := range link.FindAllStringSubmatch(withoutCode(line), -1) {
				if target, ok := fileTarget(file, match[1]); ok && !exists(r, target) {
					found = append(found, Finding{File: file, Line: i + 1, Message: fmt.Sprintf("links to %s, which is not there; mend the link or add the file", match[1])})
				}
			}
		}
	}
	return found, nil
}

var codeSpan = regexp.MustCompile("`[^`]*`")

func withoutCode(line string) string { return codeSpan.ReplaceAllString(line, "") }

// fileTarget is the file of the repository that a link means, if it means one.
func fileTarget(from, target string) (string, bool) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Path == "" {
		return "", false
	}
	if strings.HasPrefix(u.Path, "/") {
		return path.Clean(u.Path[1:]), true
	}
	return path.Join(path.Dir(from), u.Path), true
}

func exists(r *repo.Repo, target string) bool {
	if target == "." {
		return true
	}
	i, ok := slices.BinarySearch(r.Files, target)
	return ok || i < len(r.Files) && strings.HasPrefix(r.Files[i], target+"/") || slices.ContainsFunc(r.Files, func(f string) bool { return strings.HasPrefix(f, target+"/") })
}

// machinePath is an absolute path that only the machine of its author has. The
// pattern is written so that it does not find itself.
var machinePath = regexp.MustCompile(`(?:^|[\s"'=(:\x60])(/(?:work|root|home/[\w.-]+|Users/[\w.-]+)/[\w.-]+)`)

// MachinePaths refuses the path of somebody's own folder in any text of the tree.
func MachinePaths(r *repo.Repo) ([]Finding, error) {
	var found []Finding
	for _, file := range r.Files {
		data, err := r.Read(file)
		if err != nil {
			return found, err
		}
		if slices.Contains(data, 0) {
			continue // no text
		}
		for i, line := range strings.Split(string(data), "\n") {
			if match := machinePath.FindStringSubmatch(line); match != nil {
				found = append(found, Finding{File: file, Line: i + 1, Message: fmt.Sprintf("%s is a path of one machine; use a relative path, a flag or the environment", match[1])})
			}
		}
	}
	return found, nil
}
