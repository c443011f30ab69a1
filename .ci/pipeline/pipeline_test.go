package pipeline_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/.ci/pipeline"
	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/repo/repotest"
)

// The tests fetch nothing, so what they run stands ready.
func TestMain(m *testing.M) {
	if err := (repo.Cmd{Args: []string{"go", "tool", "-n", "gotestsum"}}).Run(context.Background()); err != nil {
		panic(err)
	}
	m.Run()
}

// tree is a small repository that passes every check.
func tree() repotest.Files {
	return repotest.Files{
		"go.mod": "module example.com/x\n\ngo 1.26.0\n", "README.md": "# X\n", "LICENSE": "free\n", ".golangci.yml": "version: \"2\"\n",
		"go.work": "// Written by `go tool mage tidy`.\ngo 1.26.0\n\nuse (\n\t.\n\t./common\n\t./connectors/kafka\n\t./flow\n)\n\n" +
			"// Siblings are required at their coming version; these lines tie them to this\n// tree, so that a fresh clone builds before anything is published.\n" +
			"replace (\n\texample.com/x/common v0.1.0 => ./common\n)\n",
		"common/go.mod": "module example.com/x/common\n\ngo 1.26.0\n", "common/README.md": "# C\n", "common/CHANGELOG.md": "# C\n",
		"common/c.go": "// Package common is shared.\npackage common\n\n// Name is a name.\nfunc Name() string { return \"common\" }\n",
		"common/c_test.go": "package common\n\nimport \"testing\"\n\nfunc TestName(t *testing.T) {\n\tif Name() == \"\" {\n\t\tt.Error(\"no name\")\n\t}\n}\n\n" +
			"func BenchmarkName(b *testing.B) {\n\tfor b.Loop() {\n\t\tName()\n\t}\n}\n\nfunc FuzzName(f *testing.F) {\n\tf.Fuzz(func(t *testing.T, s string) { Name() })\n}\n",
		"connectors/kafka/go.mod":    "module example.com/x/connectors/kafka\n\ngo 1.26.0\n\nrequire example.com/x/common v0.1.0\n",
		"connectors/kafka/README.md": "# K\n\n```go\npackage main\n\nimport _ \"example.com/x/connectors/kafka\"\n\nfunc main() {}\n```\n", "connectors/kafka/CHANGELOG.md": "# K\n",
		"connectors/kafka/k.go": "// Package kafka is Kafka.\npackage kafka\n\nimport \"example.com/x/common\"\n\n// Name is common's.\nconst Name = \"kafka\"\n\nvar _ = common.Name\n",
		"flow/go.mod":           "module example.com/x/flow\n\ngo 1.26.0\n", "flow/README.md": "# F\n", "flow/CHANGELOG.md": "# F\n",
		"flow/cmd/fiso-flow/main.go": "// Command fiso-flow is a command.\npackage main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() { fmt.Println(os.Args[1:]) }\n",
	}
}

// at lays the tree out and gives a pipeline for it and what that prints. The
// linter is a script that refuses what holds the word LINT.
func at(t *testing.T, files repotest.Files) (*pipeline.Pipeline, *bytes.Buffer) {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "")
	root := repotest.Tree(t, files)
	repotest.Write(t, root, ".cache/bin/v2.15.0-"+runtime.Version()+"/golangci-lint", "#!/bin/sh\necho \"$PWD $*\"\n! grep -q LINT *.go\n")
	out := &bytes.Buffer{}
	return &pipeline.Pipeline{Root: root, Out: out, Tools: "."}, out
}

// mustSay fails the test where the pipeline did not print one of the texts.
func mustSay(t *testing.T, out *bytes.Buffer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q was not said in:\n%s", text, out)
		}
	}
}

// mustRefuse fails the test where err does not say the text.
func mustRefuse(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want an error that says %q", err, text)
	}
}

func TestCheck_passesAGoodTreeAndLeavesItAsItIs(t *testing.T) {
	p, out := at(t, tree())
	if err := p.Check(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mustSay(t, out, "DONE 2 tests", "common   100.0 %", "git could not list the files", "── rules: good after", "tidy: nothing to change", "linting example.com/x/common",
		"go get example.com/x/connectors/kafka@v0.1.0: the README's example compiles", "go install example.com/x/flow/cmd/fiso-flow@v0.1.0: done")
	for name, want := range tree() {
		if got, err := os.ReadFile(filepath.Join(p.Root, name)); err != nil || string(got) != want {
			t.Errorf("%s was changed to %q, %v", name, got, err)
		}
	}
}

func TestCheck_refuses(t *testing.T) {
	for name, c := range map[string]struct{ file, content, err, said string }{
		"a rule that is broken":    {"stray.txt", "x\n", "1 places to mend", "stray.txt: does not belong at the top"},
		"a go.mod that is untidy":  {"flow/go.mod", "module example.com/x/flow\n\ngo 1.26.0\n\nrequire example.com/x/common v0.1.0\n", "commit it: flow/go.mod", "tidy: changed flow/go.mod"},
		"what the linter refuses":  {"common/lint.go", "package common\n\n// LINT is refused.\nconst LINT = 1\n", "the linter refuses common", "linting example.com/x/flow"},
		"what gofmt would change":  {"common/form.go", "package common\nconst  A=1\n", "1 files are not in gofmt's form", "common/form.go: not in gofmt's form; run: gofmt -w common/form.go"},
		"a test that fails":        {"common/red_test.go", "package common\n\nimport \"testing\"\n\nfunc TestRed(t *testing.T) { t.Error(\"red\") }\n", "not all is well", "── the tests in full: FAILED"},
		"a README without example": {"connectors/kafka/README.md", "# K\n", "no ```go block", "as a user gets it: FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			files := tree()
			files[c.file] = c.content
			p, out := at(t, files)
			mustRefuse(t, p.Check(t.Context()), c.err)
			mustSay(t, out, c.said)
		})
	}
	t.Run("a module that is too heavy", func(t *testing.T) {
		p, out := at(t, tree())
		repotest.Commands(t, false, map[string]string{"go": "echo k8s.io/api"})
		mustRefuse(t, p.Weight(t.Context()), "3 places to mend")
		mustSay(t, out, "common/go.mod: the module compiles k8s.io/api")
	})
}

func TestBuild_putsCommandsIntoOneFolder(t *testing.T) {
	p, out := at(t, tree())
	if err := p.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSay(t, out, "building example.com/x/common", "built .build/bin/fiso-flow")
	if got, err := exec.Command(filepath.Join(p.Root, ".build", "bin", "fiso-flow"), "a").Output(); err != nil || string(got) != "[a]\n" {
		t.Errorf("the command said %q, %v", got, err)
	}
}

func TestTest_measuresEveryModule(t *testing.T) {
	files := tree()
	files["common/short_test.go"] = "package common\n\nimport \"testing\"\n\nfunc TestShort(t *testing.T) {\n\tif !testing.Short() {\n\t\tt.Error(\"in full\")\n\t}\n}\n"
	p, out := at(t, files)
	mustRefuse(t, p.Cover(t.Context()), "nothing is measured yet, run: go tool mage test")
	p.Module = "common"
	if err := p.Test(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mustSay(t, out, "common   100.0 %", "DONE 3 tests")
	if err := p.Cover(t.Context()); err != nil {
		t.Error(err)
	}
	mustSay(t, out, ".build/cover/common.html")
	mustRefuse(t, p.TestAll(t.Context()), "not all is well")
	mustSay(t, out, "in full")

	repotest.Write(t, p.Root, ".build/cover/common.out", "no profile")
	mustRefuse(t, p.Cover(t.Context()), "go tool cover")
	if err := p.Clean(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(p.Root, ".build")); err == nil {
		t.Error(".build is still there")
	}
}

const generator = `package common

import (
	"os"
	"testing"
)

func TestGenerated_table(t *testing.T) {
	if os.Getenv("FISO_GENERATE") != "" {
		if err := os.WriteFile("table.md", []byte("new\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove("old.md")
	}
}
`

func TestGenerate_runsWhatAFileAsksForAndWhatATestCompares(t *testing.T) {
	files := tree()
	files["common/table_test.go"] = generator
	files["common/table.md"], files["common/old.md"] = "old\n", "old\n"
	files["flow/gen.go"] = "// Package flow flows.\npackage flow\n\n//go:generate cp go.mod made.txt\n"
	p, out := at(t, files)
	if err := p.Generate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSay(t, out, "generate: changed common/old.md\ngenerate: changed common/table.md\ngenerate: changed flow/made.txt\n")
	out.Reset()
	if err := p.Generate(t.Context()); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "generate: nothing to change")

	repotest.Write(t, p.Root, "common/table_test.go", strings.ReplaceAll(generator, "table.md", "no/folder/table.md"))
	mustRefuse(t, p.Drift(t.Context()), "generating the files of example.com/x/common: ")
	repotest.Write(t, p.Root, "flow/gen.go", "// Package flow flows.\npackage flow\n\n//go:generate false\n")
	repotest.Write(t, p.Root, "common/table_test.go", generator)
	mustRefuse(t, p.Generate(t.Context()), "go generate ./.")
}

func TestLint_buildsTheLinterOnce(t *testing.T) {
	p, out := at(t, tree())
	if err := os.RemoveAll(filepath.Join(p.Root, ".cache")); err != nil {
		t.Fatal(err)
	}
	repotest.Commands(t, false, map[string]string{"go": `cp "$0" "$GOBIN/golangci-lint"`})
	for range 2 {
		if err := p.Lint(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(out.String(), "building golangci-lint v2.15.0"); n != 1 {
		t.Errorf("built %d times", n)
	}
	if err := p.Clean(); err != nil {
		t.Error(err)
	}
	repotest.Commands(t, false, map[string]string{"go": "echo no network; exit 1"})
	mustRefuse(t, p.Lint(t.Context()), "no network")
}

func TestLint_seesIntegrationTestsAndTheMagefile(t *testing.T) {
	files := tree()
	files["magefile.go"] = "//go:build mage\n\npackage main\n"
	files[".ci/a/a.go"] = "package a\n"
	p, out := at(t, files)
	if err := p.Lint(t.Context()); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "--build-tags=mage ./.ci/a .\n", "--build-tags=integration ./...\n")
}

const pom = "connectors/kafka/kafkatest/kafka-pom.xml"

// withIntegration adds a test that wants the real Kafka, and the list of its parts.
func withIntegration() repotest.Files {
	files := tree()
	files[pom] = "<project/>"
	files["connectors/kafka/k_integration_test.go"] = "//go:build integration\n\npackage kafka\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n" +
		"func TestReal(t *testing.T) {\n\tif _, err := os.Stat(os.Getenv(\"FISO_KAFKA_HOME\") + \"/kafka.jar\"); err != nil {\n\t\tt.Error(err)\n\t}\n\tif os.Getenv(\"SKIP\") != \"\" {\n\t\tt.Skip(\"no disk\")\n\t}\n}\n"
	return files
}

const fakeMaven = `for a in "$@"; do case $a in -DoutputDirectory=*) mkdir -p "${a#*=}" && touch "${a#*=}/kafka.jar";; esac; done`

func TestIntegration_fetchesKafkaOnceAndTakesNoSkip(t *testing.T) {
	p, out := at(t, withIntegration())
	repotest.Commands(t, false, map[string]string{"mvn": fakeMaven, "java": "true"})
	for range 2 {
		if err := p.Integration(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	mustSay(t, out, "DONE 1 tests")
	if n := strings.Count(out.String(), "fetching Apache Kafka"); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	t.Setenv("SKIP", "1")
	mustRefuse(t, p.Integration(t.Context()), "1 were skipped, and none may be here")
	mustSay(t, out, "k_integration_test.go:15: no disk")
}

// withVault adds a module whose integration tests want the real Vault, and
// nothing else.
func withVault() repotest.Files {
	files := tree()
	files["connectors/kafka/v_integration_test.go"] = "//go:build integration\n\npackage kafka\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n" +
		"func TestVault(t *testing.T) {\n\tif _, err := os.Stat(os.Getenv(\"FISO_VAULT_HOME\") + \"/plugins/rabbitmq\"); err != nil {\n\t\tt.Error(err)\n\t}\n}\n"
	return files
}

// fakeGo builds nothing but empty files, and has an SDK of Vault to download; it
// leaves every other use of go alone.
func fakeGo(t *testing.T, sdk repotest.Files) string {
	t.Helper()
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, text := range sdk {
		repotest.Write(t, dir, file, text)
	}
	return `if [ "$1 $2" = "mod download" ]; then echo '{"Dir":"` + dir + `"}'; exit; fi
if [ "$1" != build ]; then exec ` + real + ` "$@"; fi
test "$GOWORK" = off && grep -q hashicorp/vault go.mod && ! grep -q 'Request, string' sdk/framework/backend.go || exit 1
while [ $# -gt 0 ]; do if [ "$1" = -o ]; then mkdir -p "$(dirname "$2")" && touch "$2"; fi; shift; done`
}

// vaultSDK is what is patched of it.
func vaultSDK() repotest.Files {
	return repotest.Files{
		"framework/backend.go":            "ActivationFunc func(context.Context, *logical.Request, string) error\n",
		"helper/keysutil/lock_manager.go": "func (lm *LockManager) RestorePolicy(ctx context.Context, storage logical.Storage, name, backup string, force bool) error {\n",
	}
}

func TestIntegration_buildsVaultOnceWhereItIsWanted(t *testing.T) {
	p, out := at(t, withVault())
	repotest.Commands(t, false, map[string]string{"go": fakeGo(t, vaultSDK()), "mvn": "exit 1"})
	for range 2 {
		if err := p.Integration(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	mustSay(t, out, "DONE 1 tests")
	if n := strings.Count(out.String(), "building Vault"); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestIntegration_saysWhyThereIsNoVault(t *testing.T) {
	changed := vaultSDK()
	changed["framework/backend.go"] = "ActivationFunc func()\n"
	for _, c := range []struct{ name, command, words string }{
		{"no network", `if [ "$1" = mod ]; then echo no route >&2; exit 1; fi; ` + fakeGo(t, vaultSDK()), "no route"},
		{"another answer", `if [ "$1" = mod ]; then echo hello; exit; fi; ` + fakeGo(t, vaultSDK()), "preparing the build of Vault: invalid character"},
		{"nothing to patch", fakeGo(t, nil), "preparing the build of Vault: open"},
		{"another text to patch", fakeGo(t, changed), "framework/backend.go is not what the patch is for"},
		{"no folder", strings.Replace(fakeGo(t, nil), `"Dir":"`, `"Dir":"/nowhere`, 1), "preparing the build of Vault: stat"},
		{"a fault in it", `if [ "$1" = build ]; then echo undefined: x; exit 1; fi; ` + fakeGo(t, vaultSDK()), "building Vault: "},
		{"nothing built", `if [ "$1" = build ]; then rm -r "$PWD"; exit; fi; ` + fakeGo(t, vaultSDK()), "Vault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := at(t, withVault())
			repotest.Commands(t, false, map[string]string{"go": c.command})
			mustRefuse(t, p.Integration(t.Context()), c.words)
		})
	}
	t.Run("no place", func(t *testing.T) {
		p, _ := at(t, withVault())
		if err := os.RemoveAll(filepath.Join(p.Root, ".cache")); err != nil {
			t.Fatal(err)
		}
		repotest.Write(t, p.Root, ".cache", "a file")
		mustRefuse(t, p.Integration(t.Context()), ".cache")
	})
}

// withPeers adds a module whose integration tests want peers of other languages.
func withPeers() repotest.Files {
	files := withIntegration()
	const file = "connectors/kafka/k_integration_test.go"
	files[file] = strings.ReplaceAll(files[file], `"FISO_KAFKA_HOME") + "/kafka.jar"`, `"FISO_PEERS_HOME") + "/python/ok"`)
	return files
}

// Fakes that install nothing but the folders, and one file.
const (
	fakeNPM    = `while [ $# -gt 0 ]; do if [ "$1" = --prefix ]; then mkdir -p "$2/node_modules"; fi; shift; done`
	fakePython = `while [ $# -gt 0 ]; do if [ "$1" = --target ]; then mkdir -p "$2" && touch "$2/ok"; fi; shift; done`
)

func TestIntegration_installsPeersOnceWhereTheyAreWanted(t *testing.T) {
	p, out := at(t, withPeers())
	repotest.Commands(t, false, map[string]string{"mvn": fakeMaven, "java": "true", "node": "true", "npm": fakeNPM, "python3": fakePython, "javac": "true"})
	for range 2 {
		if err := p.Integration(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	mustSay(t, out, "DONE 1 tests")
	if n := strings.Count(out.String(), "installing ws@"); n != 1 {
		t.Errorf("installed %d times", n)
	}
}

func TestIntegration_saysWhyThereAreNoPeers(t *testing.T) {
	for _, c := range []struct{ name, npm, maven, python, words string }{
		{"no npm", "echo no route >&2; exit 1", fakeMaven, fakePython, "installing peers in other languages: "},
		{"no Maven", fakeNPM, `case "$*" in *peers-*) exit 1;; esac; ` + fakeMaven, fakePython, "installing peers in other languages: "},
		{"no pip", fakeNPM, fakeMaven, "exit 1", "installing peers in other languages: "},
		{"nothing installed", fakeNPM, fakeMaven, `rm -r "$PWD"`, "keeping the installed peers: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := at(t, withPeers())
			repotest.Commands(t, false, map[string]string{"mvn": c.maven, "java": "true", "javac": "true", "node": "true", "npm": c.npm, "python3": c.python})
			mustRefuse(t, p.Integration(t.Context()), c.words)
		})
	}
}

func TestIntegration_saysWhatItLacks(t *testing.T) {
	t.Run("tests", func(t *testing.T) {
		p, out := at(t, tree())
		if err := p.Integration(t.Context()); err != nil {
			t.Error(err)
		}
		mustSay(t, out, "no integration tests")
	})
	t.Run("commands", func(t *testing.T) {
		p, _ := at(t, withIntegration())
		repotest.Commands(t, true, nil)
		mustRefuse(t, p.Integration(t.Context()), "needs java and mvn; on Debian: apt-get install openjdk-17-jre-headless maven")
	})
	t.Run("the list of parts", func(t *testing.T) {
		files := withIntegration()
		delete(files, pom)
		p, _ := at(t, files)
		mustRefuse(t, p.Integration(t.Context()), "kafka-pom.xml")
	})
	t.Run("the network", func(t *testing.T) {
		p, _ := at(t, withIntegration())
		repotest.Commands(t, false, map[string]string{"mvn": "echo no route; exit 1", "java": "true"})
		mustRefuse(t, p.Integration(t.Context()), "no route")
	})
	t.Run("what Maven was to bring", func(t *testing.T) {
		p, _ := at(t, withIntegration())
		repotest.Commands(t, false, map[string]string{"mvn": "true", "java": "true"})
		mustRefuse(t, p.Integration(t.Context()), "keeping what was fetched of Apache Kafka")
	})
}

func TestBenchAndFuzz_findWhatThereIs(t *testing.T) {
	p, out := at(t, tree())
	if err := p.Bench(t.Context()); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "BenchmarkName", "allocs/op", "PASS")
	repotest.Write(t, p.Root, "common/c.go", "package common\n")
	mustRefuse(t, p.Bench(t.Context()), "go test -run=^$ -bench=.")

	// Fuzzing compiles all of the standard library once more.
	repotest.Commands(t, false, map[string]string{"go": `echo "$@"`})
	if err := p.Fuzz(t.Context(), 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "example.com/x/common FuzzName, for 10ms", "test -run=^$ -fuzz=^FuzzName$ -fuzztime=10ms -fuzzminimizetime=2s ./.")
}

// https://go.dev/issue/75804
func TestFuzz_takesTheEndOfTheTimeForNoFailure(t *testing.T) {
	const ended = `echo "--- FAIL: FuzzName (60.22s)"; echo "    context deadline exceeded"; `
	for _, row := range []struct {
		name, script string
		runs         int
		fails        bool
	}{
		{"once", `[ $(wc -l < runs) = 1 ] || exit 0; ` + ended + `exit 1`, 2, false},
		{"each time", ended + `exit 1`, 2, true},
		{"with an input", ended + `echo "    Failing input written to testdata/fuzz/FuzzName/1"; exit 1`, 1, true},
		{"for a fault", `echo "--- FAIL: FuzzName (0.1s)"; echo "    c_test.go:3: no name"; exit 1`, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, _ := at(t, tree())
			repotest.Commands(t, false, map[string]string{"go": "echo run >> runs; " + row.script})
			if err := p.Fuzz(t.Context(), time.Minute); (err != nil) != row.fails {
				t.Errorf("%v, want a failure: %v", err, row.fails)
			}
			runs, err := os.ReadFile(filepath.Join(p.Root, "common", "runs"))
			if got := strings.Count(string(runs), "run"); err != nil || got != row.runs {
				t.Errorf("%d runs, want %d (%v)", got, row.runs, err)
			}
		})
	}
}

func TestMutants_areTriedWithoutTouchingTheTree(t *testing.T) {
	files := tree()
	files["e2e/testdata/mutants/F01-no-name.mutant"] = "hazard: F1\nfault: it has no name\ntests: common . ^TestName$\n\n--- common/c.go\n<<<<\nreturn \"common\"\n====\nreturn \"\"\n>>>>\n"
	p, out := at(t, files)
	if err := p.Mutants(t.Context(), ""); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "| F1 | it has no name | common TestName |")
	mustRefuse(t, p.Mutants(t.Context(), "F02"), "no mutant F02*")
	if got, err := os.ReadFile(filepath.Join(p.Root, "common", "c.go")); err != nil || string(got) != files["common/c.go"] {
		t.Errorf("the tree was changed: %q, %v", got, err)
	}
}

func TestBench_endsWithTheProgramThatMeasuresTheWhole(t *testing.T) {
	files := tree()
	files["e2e/go.mod"] = "module example.com/x/e2e\n\ngo 1.26.0\n"
	files["e2e/bench/main.go"] = "package main\n\nimport \"os\"\n\nfunc main() { println(\"measured\", len(os.Args)) }\n"
	files["go.work"] = "go 1.26.0\n\nuse (\n\t./common\n\t./e2e\n)\n"
	p, out := at(t, files)
	p.Module = "common"
	if err := p.Bench(t.Context()); err != nil || strings.Contains(out.String(), "measured") {
		t.Errorf("of another module: %v\n%s", err, out)
	}
	p.Module = "e2e"
	if err := p.Bench(t.Context()); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "measured 1", "measured 2")
	repotest.Write(t, p.Root, "e2e/bench/main.go", "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(len(os.Args) - 1) }\n")
	mustRefuse(t, p.Bench(t.Context()), "measuring fiso-link against other proxies: go run")
	repotest.Write(t, p.Root, "e2e/bench/main.go", "package main\n")
	mustRefuse(t, p.Bench(t.Context()), "measuring fiso-flow against the floor: go run")
}

func TestFaults_runsTheProgramOnAKafkaThatItFetched(t *testing.T) {
	files := tree()
	files[pom] = "<project/>\n"
	files["e2e/go.mod"] = "module example.com/x/e2e\n\ngo 1.26.0\n"
	files["e2e/faults/main.go"] = "package main\n\nimport \"os\"\n\nfunc main() { println(os.Args[1], os.Args[2], os.Getenv(\"FISO_KAFKA_HOME\")) }\n"
	files["go.work"] = "go 1.26.0\n\nuse (\n\t./common\n\t./e2e\n)\n"
	p, out := at(t, files)
	repotest.Commands(t, false, map[string]string{"mvn": fakeMaven, "java": "true"})
	if err := p.Faults(t.Context(), "sigkill", 0.5); err != nil {
		t.Error(err)
	}
	mustSay(t, out, "--scale=0.5 --scenario=sigkill", ".cache/kafka-")
	repotest.Write(t, p.Root, "e2e/faults/main.go", "package main\n")
	mustRefuse(t, p.Faults(t.Context(), "", 1), "faults: go run ./e2e/faults")
	repotest.Commands(t, true, nil)
	mustRefuse(t, p.Faults(t.Context(), "", 1), "needs java and mvn")
}

func TestDemo_runsFromTheSource(t *testing.T) {
	files := tree()
	files["link/go.mod"] = "module example.com/x/link\n\ngo 1.26.0\n"
	files["link/cmd/fiso-link/main.go"] = strings.ReplaceAll(files["flow/cmd/fiso-flow/main.go"], "flow", "link")
	files["go.work"] = strings.Replace(files["go.work"], "./flow\n", "./flow\n\t./link\n", 1)
	p, out := at(t, files)
	for command, demo := range map[string]func(context.Context, io.Reader, bool) error{"flow/cmd/fiso-flow": p.Demo, "link/cmd/fiso-link": p.DemoLink} {
		out.Reset()
		for _, keep := range []bool{false, true} {
			if err := demo(t.Context(), nil, keep); err != nil {
				t.Error(err)
			}
		}
		if out.String() != "[demo]\n[demo --keep]\n" {
			t.Errorf("said %q", out)
		}
		repotest.Write(t, p.Root, command+"/main.go", "package main\n")
		mustRefuse(t, demo(t.Context(), nil, false), "the demo: go run ./"+command)
	}
}

// Whatever a target does, it begins with reading the tree.
func TestEveryTarget_refusesATreeItCannotRead(t *testing.T) {
	p := &pipeline.Pipeline{Root: t.TempDir(), Out: &bytes.Buffer{}}
	mutants := func(ctx context.Context) error { return p.Mutants(ctx, "") }
	for name, target := range map[string]func(context.Context) error{
		"mutants": mutants,
		"build":   p.Build, "test": p.Test, "lint": p.Lint, "tidy": p.Tidy, "generate": p.Generate, "drift": p.Drift, "rules": p.Rules,
		"weight": p.Weight, "proxy": p.Proxy, "integration": p.Integration, "faults": func(ctx context.Context) error { return p.Faults(ctx, "", 1) }, "bench": p.Bench,
	} {
		mustRefuse(t, target(t.Context()), "no go.mod found in")
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// A file stands where the pipeline's folder is due.
func TestEveryTarget_saysWhenItHasNoFolderToWorkIn(t *testing.T) {
	p, _ := at(t, tree())
	if err := p.Clean(); err != nil {
		t.Fatal(err)
	}
	repotest.Write(t, p.Root, ".build", "a file")
	mutants := func(ctx context.Context) error { return p.Mutants(ctx, "") }
	for _, target := range []func(context.Context) error{p.Build, p.Test, p.Cover, p.Proxy, mutants} {
		mustRefuse(t, target(t.Context()), "making a folder for the pipeline")
	}
	if err := p.Clean(); err != nil {
		t.Fatal(err)
	}
	repotest.Write(t, p.Root, ".cache", "a file")
	for _, target := range []func(context.Context) error{p.Lint, p.Proxy} {
		mustRefuse(t, target(t.Context()), "making a folder for the pipeline")
	}
}

// The magefile is compiled by mage alone, so nothing else would see it broken.
func TestMagefile_compiles(t *testing.T) {
	vet := repo.Cmd{Dir: filepath.Join("..", ".."), Args: []string{"go", "vet", "-tags=mage", "."}}
	if err := vet.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
