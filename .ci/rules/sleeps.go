package rules

import (
	"bytes"
	"path"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
)

// Sleeps refuses a test that sleeps in real time: it is slow where the machine
// is fast, and fails where it is slow. In a testing/synctest bubble time is not
// real, so a package whose tests use those is trusted to sleep in them only.
func Sleeps(r *repo.Repo) ([]Finding, error) {
	sleeps, bubbles := map[string][]Finding{}, map[string]bool{}
	var dirs []string
	for _, file := range r.Files {
		if !strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata/") {
			continue
		}
		src, err := r.Read(file)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(file)
		bubbles[dir] = bubbles[dir] || bytes.Contains(src, []byte("\"testing/synctest\""))
		for i, line := range bytes.Split(src, []byte("\n")) {
			if code, _, _ := bytes.Cut(line, []byte("//")); bytes.Contains(code, []byte("\ttime.Sleep(")) {
				if sleeps[dir] == nil {
					dirs = append(dirs, dir)
				}
				sleeps[dir] = append(sleeps[dir], Finding{File: file, Line: i + 1, Message: "sleeps in real time; use testing/synctest, or wait for the condition itself"})
			}
		}
	}
	var found []Finding
	for _, dir := range dirs {
		if !bubbles[dir] {
			found = append(found, sleeps[dir]...)
		}
	}
	return found, nil
}
