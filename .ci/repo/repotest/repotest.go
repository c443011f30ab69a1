// Package repotest makes small trees for the tests of the pipeline.
package repotest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lsm/fiso/.ci/repo"
)

// Files are the files of a tree: slash path to content.
type Files map[string]string

// Tree writes the files into a new folder, which the test removes at its end.
func Tree(t testing.TB, files Files) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		Write(t, root, name, content)
	}
	return root
}

// Write writes one file below root; scripts (#!) can be run.
func Write(t testing.TB, root, name, content string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	mode := os.FileMode(0o644)
	if len(content) > 2 && content[:2] == "#!" {
		mode = 0o755
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// Open reads the tree that the files make.
func Open(t testing.TB, files Files) *repo.Repo {
	t.Helper()
	r, err := repo.Open(t.Context(), Tree(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Commands puts scripts in front of the PATH for the time of the test: command
// name to shell lines. With alone set nothing else is on the PATH.
func Commands(t *testing.T, alone bool, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, lines := range scripts {
		Write(t, dir, name, "#!/bin/sh\n"+lines+"\n")
	}
	if !alone {
		dir += string(os.PathListSeparator) + os.Getenv("PATH")
	}
	t.Setenv("PATH", dir)
}
