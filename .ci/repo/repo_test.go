package repo_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/repo/repotest"
)

var small = repotest.Files{
	"go.mod":                             "module example.com/x\n\ngo 1.26.0\n",
	"magefile.go":                        "//go:build mage\n\npackage main\n",
	".ci/rules/rules.go":                 "package rules\n",
	"common/go.mod":                      "module example.com/x/common\n",
	"common/a/a.go":                      "package a\n",
	"common/a/testdata/broken/go.mod":    "module example.com/broken\n",
	"connectors/kafka/go.mod":            "module example.com/x/connectors/kafka\n",
	"connectors/kafka/kafka.go":          "package kafka\n",
	"connectors/kafka/kafkatest/test.go": "package kafkatest\n",
	"empty/go.mod":                       "module example.com/x/empty\n",
	".build/left.go":                     "package left\n",
}

func TestOpen_findsModulesAndTheirOwnFiles(t *testing.T) {
	r := repotest.Open(t, small)
	var got []string
	for _, m := range r.Modules {
		got = append(got, m.Dir+" "+strings.Join(m.Patterns(), " "))
	}
	want := []string{". ./.ci/rules", "common ./...", "connectors/kafka ./...", "empty "}
	if !slices.Equal(got, want) {
		t.Errorf("modules and patterns:\n%q, want\n%q", got, want)
	}
	if r.Note == "" {
		t.Error("nothing said about the files having come from no git")
	}
	if slices.Contains(r.Files, ".build/left.go") {
		t.Error("what the pipeline built counts as a file of the tree")
	}
	kafka := r.Sibling("example.com/x/connectors/kafka")
	if got := kafka.ImportPath("connectors/kafka/kafkatest/test.go"); got != "example.com/x/connectors/kafka/kafkatest" {
		t.Errorf("import path %s", got)
	}
	if got := kafka.ImportPath("connectors/kafka/kafka.go"); got != "example.com/x/connectors/kafka" {
		t.Errorf("import path %s", got)
	}
	if got := kafka.Abs(); got != filepath.Join(r.Root, "connectors", "kafka") {
		t.Errorf("folder %s", got)
	}
	if r.Sibling("example.com/other") != nil {
		t.Error("a module from elsewhere is taken for a sibling")
	}
}

func TestOpen_asksGitAndLeavesIgnoredAndDeletedFilesOut(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	root := repotest.Tree(t, repotest.Files{
		"go.mod": "module example.com/x\n", ".gitignore": "*.log\n", "gone.txt": "x", "a.log": "x", "new.txt": "x",
	})
	for _, args := range [][]string{{"git", "init", "-q"}, {"git", "add", "go.mod", "gone.txt"}} {
		if err := (repo.Cmd{Dir: root, Args: args}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(root, "gone.txt")); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".gitignore", "go.mod", "new.txt"}; !slices.Equal(r.Files, want) || r.Note != "" {
		t.Errorf("files %q, note %q; want %q", r.Files, r.Note, want)
	}
}

func TestOpen_withoutGitWalksAndSaysSo(t *testing.T) {
	root := repotest.Tree(t, small)
	repotest.Commands(t, true, nil)
	r, err := repo.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Modules) != 4 || !strings.Contains(r.Note, "git could not list the files") {
		t.Errorf("%d modules, note %q", len(r.Modules), r.Note)
	}
}

func TestOpen_refusesATreeItCannotRead(t *testing.T) {
	for name, c := range map[string]struct {
		files repotest.Files
		want  string
	}{
		"no module":      {repotest.Files{"a.txt": ""}, "no go.mod found"},
		"broken go.mod":  {repotest.Files{"go.mod": "modul x"}, "reading a go.mod: go.mod:1"},
		"no module line": {repotest.Files{"go.mod": "go 1.26\n"}, "go.mod: no module line"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := repo.Open(t.Context(), repotest.Tree(t, c.files))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := repo.Open(t.Context(), filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

func TestSelect(t *testing.T) {
	r := repotest.Open(t, small)
	for dir, want := range map[string]int{"": 4, "common": 1, "./connectors/kafka/": 1, "example.com/x/common": 1, ".": 1} {
		if got, err := r.Select(dir); err != nil || len(got) != want {
			t.Errorf("Select(%q) = %d modules, %v; want %d", dir, len(got), err, want)
		}
	}
	if _, err := r.Select("flow"); err == nil || !strings.Contains(err.Error(), `no module in "flow": there are ., common, connectors/kafka, empty`) {
		t.Errorf("an unknown module: %v", err)
	}
}

func TestRead_saysWhichFile(t *testing.T) {
	r := repotest.Open(t, small)
	if _, err := r.Read("gone.txt"); err == nil || !strings.Contains(err.Error(), "gone.txt") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(r.Abs("go.mod")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", r.Abs("go.mod")); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Open(t.Context(), r.Root); err == nil {
		t.Error("a go.mod that points nowhere was read")
	}
}

func TestCmd(t *testing.T) {
	repotest.Commands(t, false, map[string]string{"both": "cat; echo out $WORD; echo err >&2; exit ${CODE:-0}"})
	var out bytes.Buffer
	cmd := repo.Cmd{Args: []string{"both", "arg"}, Env: []string{"WORD=hello"}, In: strings.NewReader("in\n"), Out: &out}
	if err := cmd.Run(t.Context()); err != nil || out.String() != "in\nout hello\nerr\n" {
		t.Errorf("Run: %v, printed %q", err, &out)
	}
	cmd.Out, cmd.In, cmd.Env = nil, nil, []string{"CODE=3"}
	if err := cmd.Run(t.Context()); err == nil || err.Error() != "both arg: exit status 3\nout\nerr" {
		t.Errorf("a failed Run: %v", err)
	}
	if _, err := cmd.Output(t.Context()); err == nil || err.Error() != "both arg: exit status 3\nerr" {
		t.Errorf("a failed Output: %v", err)
	}
	cmd.Env = nil
	if got, err := cmd.Output(t.Context()); err != nil || string(got) != "out\n" {
		t.Errorf("Output: %v, %q", err, got)
	}
	if err := (repo.Cmd{Args: []string{"no-such-command"}}).Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "no-such-command: ") {
		t.Errorf("a command that is not there: %v", err)
	}
}

func TestCmd_isInterruptedWhenItsContextEnds(t *testing.T) {
	repotest.Commands(t, false, map[string]string{"wait": "trap 'echo interrupted; exit 1' INT; echo started; while :; do sleep 0.05; done"})
	ctx, cancel := context.WithCancel(t.Context())
	out := &watch{word: "started", seen: cancel}
	if err := (repo.Cmd{Args: []string{"wait"}, Out: out}).Run(ctx); err == nil {
		t.Error("no error from a command cut short")
	}
	if !strings.Contains(out.text.String(), "interrupted") {
		t.Errorf("the command could not end in its own way: %q", &out.text)
	}
}

// watch calls seen once the word was written to it.
type watch struct {
	text bytes.Buffer // not embedded: its ReadFrom would take the place of Write
	word string
	seen func()
}

func (w *watch) Write(p []byte) (int, error) {
	n, err := w.text.Write(p)
	if strings.Contains(w.text.String(), w.word) {
		w.seen()
	}
	return n, err
}
