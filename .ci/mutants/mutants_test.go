package mutants_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/.ci/mutants"
	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/repo/repotest"
)

const place = mutants.Dir + "/F01-a.mutant"

// mutant is one of F1 whose test is TestMax, with the edits.
func mutant(edits string) string {
	return "hazard: F1\nfault: the larger is not found\ntests: m ./a ^TestMax$\n\n" + edits
}

func edit(search, replace string) string {
	return "--- m/a/a.go\n<<<<\n" + search + "\n====\n" + replace + "\n>>>>\n"
}

// tree is a module with one function, one test of it, and the mutants.
func tree(files repotest.Files) repotest.Files {
	all := repotest.Files{
		"go.mod": "module example.com/x\n\ngo 1.26.0\n", "m/go.mod": "module example.com/x/m\n\ngo 1.26.0\n",
		"m/a/a.go":      "package a\n\nfunc max2(a, b int) int {\n\tif a > b {\n\t\treturn a\n\t}\n\treturn b\n}\n",
		"m/a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc TestMax(t *testing.T) {\n\tif max2(2, 1) != 2 || max2(1, 2) != 2 {\n\t\tt.Error(\"wrong\")\n\t}\n}\n",
	}
	maps.Copy(all, files)
	return all
}

// run tries the mutants of a tree, and gives the table.
func run(ctx context.Context, t *testing.T, files repotest.Files, only string) (string, error) {
	t.Helper()
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	r := repotest.Open(t, files)
	var out bytes.Buffer
	err := mutants.Run(ctx, r, mutants.Options{Work: t.TempDir(), Only: only, Timeout: 2 * time.Second, Out: &out})
	for file, want := range files {
		if got, failed := r.Read(file); failed != nil || string(got) != want {
			t.Errorf("%s was changed to %q, %v", file, got, failed)
		}
	}
	return out.String(), err
}

func TestRun_saysWhichTestFindsAMutant(t *testing.T) {
	test := "package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestMax(t *testing.T) {\n\tif max2(2, 1) != 2 {\n\t\t"
	for name, c := range map[string]struct{ file, content, edits, want string }{
		"a test that fails":               {"", "", edit("a > b", "a < b"), "| F1 | the larger is not found | m TestMax |"},
		"lines taken out, and two edits":  {"", "", "--- m/a/a.go\n<<<<\n\t\treturn a\n\t}\n====\n\t}\n>>>>\n\n<<<<\na > b\n====\na > b && false\n>>>>\n", "| m TestMax |"},
		"a test that hangs":               {"", "", edit("if a > b {", "for a > b {\n\t\tfor {\n\t\t}\n"), "| m the timeout of ./a: it hangs |"},
		"a panic outside of any test":     {"m/a/a_test.go", test + "done := make(chan int)\n\t\tgo func() { panic(1) }()\n\t\t<-done\n\t}\n\t_ = os.Args\n}\n", edit("a > b", "a < b"), "| m ./a as a whole |"},
		"a package that fails as a whole": {"m/a/a_test.go", test + "println(\"\\nFAIL\")\n\t\tos.Exit(1)\n\t}\n}\n", edit("a > b", "a < b"), "| m ./a as a whole |"},
	} {
		t.Run(name, func(t *testing.T) {
			files := repotest.Files{place: mutant(c.edits), mutants.Dir + "/README.md": "# M\n"}
			if c.file != "" {
				files[c.file] = c.content
			}
			table, err := run(t.Context(), t, tree(files), "F01")
			if err != nil || !strings.Contains(table, c.want) {
				t.Errorf("%v\n%s\nwant %s", err, table, c.want)
			}
		})
	}
}

func TestRun_failsWhereNothingWasProved(t *testing.T) {
	for name, c := range map[string]struct{ file, content, mutant, err, table string }{
		"it survives":           {"", "", mutant(edit("a > b", "a >= b")), "F01-a.mutant: the larger is not found: the tests do not find it", "| NOTHING |"},
		"it does not compile":   {"", "", mutant(edit("return b", "return c")), "it does not compile", "| ERROR, see below |"},
		"it no longer applies":  {"", "", mutant(edit("a >= b", "a < b")), place + ": renew it: in m/a/a.go this stands 0 times, and must once:\na >= b", "| ERROR"},
		"it applies twice":      {"", "", mutant(edit("return", "return 0 +")), "this stands 2 times", "| ERROR"},
		"its file is gone":      {"", "", mutant(strings.ReplaceAll(edit("a", "b"), "a.go", "b.go")), "m/a/b.go is no more", "| ERROR"},
		"no test matches":       {"", "", strings.ReplaceAll(mutant(edit("a > b", "a < b")), "TestMax", "TestMin"), "no test of m ./a matches ^TestMin$", ""},
		"it fails all the same": {"m/a/a.go", "package a\n\nfunc max2(a, b int) int { return b }\n", mutant(edit("return b", "return a")), "m TestMax fails without a mutant, so it finds none", ""},
		"the binary says nothing": {"m/a/a_test.go", "package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestMax(t *testing.T) {\n\tif max2(2, 1) != 2 {\n\t\tos.Exit(3)\n\t}\n}\n",
			mutant(edit("a > b", "a < b")), "did not run: ", "| ERROR"},
		"no such mutant":          {"", "", mutant(edit("a", "b")), "no mutant F02* in " + mutants.Dir, ""},
		"a tests line of two":     {"", "", "hazard: F1\nfault: x\ntests: m TestMax\n" + edit("a", "b"), "tests are a module's folder, a package and a pattern", ""},
		"a line of another kind":  {"", "", "hazard: F1\nwhy: x\n" + edit("a", "b"), `"why: x" is neither hazard, fault nor tests`, ""},
		"no edits":                {"", "", mutant(""), "a mutant has a hazard such as F1", ""},
		"a hazard of no number":   {"", "", strings.ReplaceAll(mutant(edit("a", "b")), "F1", "one"), "a mutant has a hazard such as F1", ""},
		"an edit that is not one": {"", "", mutant("--- m/a/a.go\n<<<<\na\n>>>>\n"), "below --- m/a/a.go: an edit is <<<<", ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := repotest.Files{place: c.mutant}
			if c.file != "" {
				files[c.file] = c.content
			}
			only := ""
			if name == "no such mutant" {
				only = "F02"
			}
			table, err := run(t.Context(), t, tree(files), only)
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(table, c.table) {
				t.Errorf("got %v, want %s\n%s", err, c.err, table)
			}
			if errors.Is(err, mutants.ErrSurvived) != (name == "it survives") {
				t.Errorf("survived: %v", err)
			}
		})
	}
}

func TestRun_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	test := "package a\n\nimport \"testing\"\n\nfunc TestMax(t *testing.T) {\n\tselect {}\n}\n"
	time.AfterFunc(time.Second, cancel)
	_, err := run(ctx, t, tree(repotest.Files{place: mutant(edit("a > b", "a < b")), "m/a/a_test.go": test}), "")
	if err == nil {
		t.Error("it went on")
	}
}

func TestRun_saysWhatItCouldNotReadOrWrite(t *testing.T) {
	files := tree(repotest.Files{place: mutant(edit("a > b", "a < b"))})
	for gone, want := range map[string]string{place: place, "m/a/a.go": "a.go"} {
		r := repotest.Open(t, files)
		if err := os.Remove(r.Abs(gone)); err != nil {
			t.Fatal(err)
		}
		all, err := mutants.Load(r)
		if err == nil {
			_, err = all[0].Apply(r)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", gone, err)
		}
	}
	work := filepath.Join(t.TempDir(), "w")
	if err := os.WriteFile(work, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := repotest.Open(t, files)
	if err := mutants.Run(t.Context(), r, mutants.Options{Work: work, Timeout: time.Second, Out: &bytes.Buffer{}}); err == nil || !strings.Contains(err.Error(), "making a folder for a mutant") {
		t.Errorf("got %v", err)
	}
}

// The mutants of this tree can be applied, and each of F1 to F13 has one.
func TestLoad_hasEveryHazard(t *testing.T) {
	r, err := repo.Open(t.Context(), filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	all, err := mutants.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, m := range all {
		has[m.Hazard] = true
		if _, err := m.Apply(r); err != nil {
			t.Error(err)
		}
	}
	for _, hazard := range strings.Fields("F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 F13") {
		if !has[hazard] {
			t.Errorf("%s has no mutant", hazard)
		}
	}
}
