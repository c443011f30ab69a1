package tidy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/repo/repotest"
	"github.com/lsm/fiso/.ci/tidy"
)

// untidy is a tree whose modules are not published: flow imports both others,
// requires only one, and requires a module it does not use.
func untidy() repotest.Files {
	return repotest.Files{
		"go.mod":           "module example.com/x\n\ngo 1.26.0\n",
		"go.work":          "go 1.25.0\n\nuse (\n\t.\n\t./gone\n)\n\n// Why these lines stand here.\nreplace (\n\texample.com/x/gone v0.1.0 => ./gone\n\texample.com/x/common v0.0.9 => ./common\n\texample.com/x/common v0.1.0 => ./common\n)\n",
		"common/go.mod":    "module example.com/x/common\n\ngo 1.26.0\n\nrequire example.com/x/kafka v0.1.0\n",
		"common/c.go":      "package common\n",
		"kafka/go.mod":     "module example.com/x/kafka\n\ngo 1.26.0\n\nrequire example.com/x/common v0.1.0\n",
		"kafka/k.go":       "package kafka\n\nimport _ \"example.com/x/common\"\n",
		"flow/go.mod":      "module example.com/x/flow\n\ngo 1.26.0\n",
		"flow/cmd/main.go": "package main\n\nimport (\n\t_ \"example.com/x/common\"\n\t_ \"example.com/x/kafka\"\n)\n\nfunc main() {}\n",
		"bare/go.mod":      "module example.com/x/bare\n\ngo 1.26.0\n",
		".ci/a/a.go":       "package a\n",
		"magefile.go":      "//go:build mage\n\npackage main\n\nimport _ \"example.com/x/.ci/a\"\n",
	}
}

func run(t *testing.T, root string) ([]string, error) {
	t.Helper()
	// Nothing may be asked of the network: every module is in the tree.
	for _, setting := range []string{"GOPROXY=off", "GOFLAGS=", "GOWORK="} {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	r, err := repo.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return tidy.Run(t.Context(), r)
}

func TestRun_tiesModulesThatAreNotPublished(t *testing.T) {
	root := repotest.Tree(t, untidy())
	changed, err := run(t, root)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(changed)
	if want := []string{"common/go.mod", "flow/go.mod", "go.work"}; !slices.Equal(changed, want) {
		t.Errorf("changed %q, want %q", changed, want)
	}
	for name, want := range map[string]string{
		"common/go.mod": "module example.com/x/common\n\ngo 1.26.0\n",
		"kafka/go.mod":  untidy()["kafka/go.mod"],
		"flow/go.mod":   "module example.com/x/flow\n\ngo 1.26.0\n\nrequire (\n\texample.com/x/common v0.1.0\n\texample.com/x/kafka v0.1.0\n)\n",
		"go.work":       "// Written by `go tool mage tidy`.\ngo 1.26.0\n\nuse (\n\t.\n\t./bare\n\t./common\n\t./flow\n\t./kafka\n)\n\n// Siblings are required at their coming version; these lines tie them to this\n// tree, so that a fresh clone builds before anything is published.\nreplace (\n\texample.com/x/common v0.1.0 => ./common\n\texample.com/x/kafka v0.1.0 => ./kafka\n)\n",
	} {
		if got := read(t, root, name); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "flow/go.sum")); err == nil {
		t.Error("a go.sum was made for siblings that are not published")
	}
	if changed, err := run(t, root); err != nil || len(changed) > 0 {
		t.Errorf("a second run changed %q, %v", changed, err)
	}
}

func TestRun_makesAWorkspaceWhereThereIsNone(t *testing.T) {
	files := untidy()
	delete(files, "go.work")
	root := repotest.Tree(t, files)
	if _, err := run(t, root); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, "go.work"); !strings.HasPrefix(got, "// Written by `go tool mage tidy`.\ngo 1.26.0\n\nuse (\n\t.\n\t./bare\n") {
		t.Errorf("go.work:\n%s", got)
	}
}

func TestRun_dropsSumsNobodyNeeds(t *testing.T) {
	files := untidy()
	files["go.work.sum"] = "example.com/old v1.0.0/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	root := repotest.Tree(t, files)
	changed, err := run(t, root)
	if err != nil || !slices.Contains(changed, "go.work.sum") {
		t.Errorf("changed %q, %v", changed, err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.work.sum")); err == nil {
		t.Errorf("go.work.sum is still there:\n%s", read(t, root, "go.work.sum"))
	}
}

func TestRun_saysWhatItCouldNotDo(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		want          string
	}{
		"a package that is nowhere":  {"flow/cmd/main.go", "package main\n\nimport _ \"example.com/nowhere/y\"\n\nfunc main() {}\n", "tidying example.com/x/flow: "},
		"a go.work that is a folder": {"go.work/x", "", "tidying the workspace: "},
		"a go.sum that is a folder":  {"kafka/go.sum/x", "", "tidying example.com/x/kafka: "},
	} {
		t.Run(name, func(t *testing.T) {
			files := untidy()
			if strings.HasPrefix(c.file, "go.work") {
				delete(files, "go.work")
			}
			files[c.file] = c.content
			if _, err := run(t, repotest.Tree(t, files)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("no place for temporary files", func(t *testing.T) {
		root := repotest.Tree(t, untidy())
		r, err := repo.Open(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", filepath.Join(root, "gone"))
		if _, err := tidy.Run(t.Context(), r); err == nil || !strings.Contains(err.Error(), "making a folder to tidy in") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRun_saysWhatTheGoCommandLeftBehind(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"no go.mod":                   {`rm "${3#-modfile=}"`, "tidying example.com/x: open "},
		"a broken go.mod":             {`echo modul > "${3#-modfile=}"`, "tidying example.com/x: go.mod:1"},
		"a folder in place of go.mod": {`echo "// new" >> "${3#-modfile=}"; rm go.mod; mkdir go.mod`, "tidying example.com/x: open "},
		"no repository":               {`rm go.mod; test $PWD = */b || exit 0`, "no go.mod found"},
	} {
		t.Run(name, func(t *testing.T) {
			root := repotest.Tree(t, repotest.Files{"go.mod": "module example.com/x\n\ngo 1.26.0\n", "b/go.mod": "module example.com/x/b\n\ngo 1.26.0\n"})
			repotest.Commands(t, false, map[string]string{"go": c.script})
			if _, err := run(t, root); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	root := repotest.Tree(t, untidy())
	r, err := repo.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	repotest.Write(t, root, "common/go.mod", "modul\n")
	if _, err := tidy.Run(t.Context(), r); err == nil || !strings.Contains(err.Error(), "tidying example.com/x/common: go.mod:1") {
		t.Errorf("a go.mod that broke meanwhile: %v", err)
	}
}

func TestRun_keepsGoWorkSumWhenListingFails(t *testing.T) {
	files := untidy()
	files["go.work.sum"] = "sums\n"
	root := repotest.Tree(t, files)
	// Tidying works, listing does not.
	repotest.Commands(t, false, map[string]string{"go": `test "$1" != list || { echo no list today >&2; exit 1; }`})
	if _, err := run(t, root); err == nil || !strings.Contains(err.Error(), "no list today") {
		t.Errorf("got %v", err)
	}
	if got := read(t, root, "go.work.sum"); got != "sums\n" {
		t.Errorf("go.work.sum is now %q", got)
	}
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
