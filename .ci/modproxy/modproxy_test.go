package modproxy_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/.ci/modproxy"
	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/repo/repotest"
)

const program = "# K\n\nA fragment:\n\n```go\nx := 1\n```\n\nA program:\n\n```go\npackage main\n\nimport \"example.com/x/connectors/kafka\"\n\nfunc main() { println(kafka.Name()) }\n```\n"

// tree is a repository of three modules that no server has.
func tree() repotest.Files {
	return repotest.Files{
		"go.mod": "module example.com/x\n\ngo 1.26.0\n", "LICENSE": "free\n",
		"common/go.mod": "module example.com/x/common\n\ngo 1.26.0\n", "common/c.go": "package common\n\nconst Name = \"common\"\n", "common/LICENSE": "own\n",
		"connectors/kafka/go.mod":    "module example.com/x/connectors/kafka\n\ngo 1.26.0\n\nrequire example.com/x/common v0.1.0\n",
		"connectors/kafka/k.go":      "package kafka\n\nimport \"example.com/x/common\"\n\nfunc Name() string { return common.Name }\n",
		"connectors/kafka/README.md": program,
		"flow/go.mod":                "module example.com/x/flow\n\ngo 1.26.0\n\nrequire (\n\texample.com/x/common v0.1.0\n\texample.com/x/connectors/kafka v0.1.0\n)\n",
		"flow/cmd/fiso/main.go":      "package main\n\nimport \"example.com/x/connectors/kafka\"\n\nfunc main() { println(kafka.Name()) }\n",
	}
}

// user lays the tree out and gives somebody who knows nothing else.
func user(t *testing.T, files repotest.Files) (*modproxy.User, *repo.Repo, []string, *bytes.Buffer) {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	r := repotest.Open(t, files)
	out := &bytes.Buffer{}
	u := &modproxy.User{Proxy: t.TempDir(), Home: t.TempDir(), Version: "v0.1.0", Out: out}
	if err := modproxy.Write(r, u.Proxy, u.Version); err != nil {
		t.Fatal(err)
	}
	env, err := u.Prepare(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return u, r, env, out
}

func TestWrite_packsEachModuleAsAReleaseWould(t *testing.T) {
	u, _, _, _ := user(t, tree())
	for name, want := range map[string][]string{
		"common":           {"example.com/x/common@v0.1.0/LICENSE", "example.com/x/common@v0.1.0/c.go", "example.com/x/common@v0.1.0/go.mod"},
		"connectors/kafka": {"example.com/x/connectors/kafka@v0.1.0/README.md", "example.com/x/connectors/kafka@v0.1.0/go.mod", "example.com/x/connectors/kafka@v0.1.0/k.go"},
	} {
		at := filepath.Join(u.Proxy, "example.com", "x", filepath.FromSlash(name), "@v")
		packed, err := zip.OpenReader(filepath.Join(at, "v0.1.0.zip"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range packed.File {
			got = append(got, f.Name)
		}
		if err := packed.Close(); err != nil {
			t.Error(err)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
		if list, err := os.ReadFile(filepath.Join(at, "list")); err != nil || string(list) != "v0.1.0\n" {
			t.Errorf("list of %s: %q, %v", name, list, err)
		}
	}
	if _, err := os.Stat(filepath.Join(u.Proxy, "example.com", "x", "@v")); err == nil {
		t.Error("the pipeline's own module is released")
	}
}

func TestUser_getsAModuleAndInstallsACommand(t *testing.T) {
	u, r, env, out := user(t, tree())
	kafka, flow := r.Sibling("example.com/x/connectors/kafka"), r.Sibling("example.com/x/flow")
	if err := u.GetAndBuild(t.Context(), r, kafka, env); err != nil {
		t.Error(err)
	}
	if err := u.Install(t.Context(), flow.Path+"/cmd/fiso", env); err != nil {
		t.Error(err)
	}
	want := "go get example.com/x/connectors/kafka@v0.1.0: the README's example compiles\ngo install example.com/x/flow/cmd/fiso@v0.1.0: done\n"
	if out.String() != want {
		t.Errorf("said %q, want %q", out, want)
	}
	if _, err := os.Stat(filepath.Join(u.Home, "bin", "fiso")); err != nil {
		t.Error(err)
	}
}

func TestUser_seesTheTreeAsItIsNow(t *testing.T) {
	u, r, env, _ := user(t, tree())
	kafka := r.Sibling("example.com/x/connectors/kafka")
	if err := u.GetAndBuild(t.Context(), r, kafka, env); err != nil {
		t.Fatal(err)
	}
	repotest.Write(t, r.Root, "common/c.go", "package common\n")
	if err := modproxy.Write(r, u.Proxy, u.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Prepare(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := u.GetAndBuild(t.Context(), r, kafka, env); err == nil || !strings.Contains(err.Error(), "undefined: common.Name") {
		t.Errorf("an old copy was used: %v", err)
	}

	// Go remembers which files a downloaded module holds, in its build cache and by the
	// module's folder alone.
	if err := os.Remove(filepath.Join(r.Root, "common", "c.go")); err != nil {
		t.Fatal(err)
	}
	repotest.Write(t, r.Root, "common/name.go", "package common\n\nconst Name = \"common\"\n")
	renamed, err := repo.Open(t.Context(), r.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := modproxy.Write(renamed, u.Proxy, u.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Prepare(t.Context(), renamed); err != nil {
		t.Fatal(err)
	}
	if err := u.GetAndBuild(t.Context(), renamed, kafka, env); err != nil {
		t.Errorf("an old list of files was used: %v", err)
	}
}

func TestUser_tellsWhatAUserWouldMeet(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"a README without a program": {"connectors/kafka/README.md", "# K\n\n```go\nx := 1\n```\n", "connectors/kafka/README.md: no ```go block with a whole program"},
		"an example that is wrong":   {"connectors/kafka/README.md", strings.ReplaceAll(program, "Name()", "Gone()"), "as a user of example.com/x/connectors/kafka would: go build"},
		"a sibling nobody has":       {"connectors/kafka/go.mod", "module example.com/x/connectors/kafka\n\ngo 1.26.0\n\nrequire example.com/x/common v0.9.0\n", "as a user of example.com/x/connectors/kafka would: go get"},
	} {
		t.Run(name, func(t *testing.T) {
			files := tree()
			files[c.file] = c.content
			u, r, env, _ := user(t, files)
			err := u.GetAndBuild(t.Context(), r, r.Sibling("example.com/x/connectors/kafka"), env)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("no README", func(t *testing.T) {
		files := tree()
		delete(files, "connectors/kafka/README.md")
		u, r, env, _ := user(t, files)
		if err := u.GetAndBuild(t.Context(), r, r.Sibling("example.com/x/connectors/kafka"), env); err == nil || !strings.Contains(err.Error(), "README.md") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a replace line in what is installed", func(t *testing.T) {
		files := tree()
		files["flow/go.mod"] += "\nreplace example.com/x/common => ../common\n"
		u, _, env, _ := user(t, files)
		if err := u.Install(t.Context(), "example.com/x/flow/cmd/fiso", env); err == nil || !strings.Contains(err.Error(), "as somebody who installs it would: ") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a framework that comes along", func(t *testing.T) {
		u, r, env, _ := user(t, tree())
		repotest.Commands(t, false, map[string]string{"go": `test "$1" != list || echo fmt github.com/gin-gonic/gin`})
		err := u.GetAndBuild(t.Context(), r, r.Sibling("example.com/x/connectors/kafka"), env)
		if err == nil || err.Error() != "a user of example.com/x/connectors/kafka is made to compile github.com/gin-gonic/gin" {
			t.Errorf("got %v", err)
		}
		repotest.Commands(t, false, map[string]string{"go": `test "$1" != list`})
		if err := u.GetAndBuild(t.Context(), r, r.Sibling("example.com/x/connectors/kafka"), env); err == nil || !strings.HasPrefix(err.Error(), "listing what a user of") {
			t.Errorf("got %v", err)
		}
		repotest.Commands(t, true, nil)
		if _, err := u.Prepare(t.Context(), r); err == nil {
			t.Error("prepared without a go command")
		}
		t.Setenv("TMPDIR", filepath.Join(r.Root, "gone"))
		if err := u.GetAndBuild(t.Context(), r, r.Sibling("example.com/x/connectors/kafka"), env); err == nil || !strings.HasPrefix(err.Error(), "making an empty module") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWrite_saysWhatItCouldNotPack(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, r *repo.Repo, dir string)
		want   string
	}{
		"two files that differ in case": {func(t *testing.T, r *repo.Repo, _ string) {
			repotest.Write(t, r.Root, "common/C.go", "package common\n")
		}, "case-insensitive"},
		"a go.mod that went away":      {func(t *testing.T, r *repo.Repo, _ string) { remove(t, r.Abs("common/go.mod")) }, "packing example.com/x/common: "},
		"a file where a folder is due": {func(t *testing.T, _ *repo.Repo, dir string) { repotest.Write(t, dir, "example.com", "x") }, "packing example.com/x/common: "},
		"a folder where a file is due": {func(t *testing.T, _ *repo.Repo, dir string) {
			repotest.Write(t, dir, "example.com/x/common/@v/list/x", "x")
		}, "packing example.com/x/common: "},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir := repotest.Open(t, tree()), t.TempDir()
			c.change(t, r, dir)
			if err := modproxy.Write(r, dir, "v0.1.0"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}
