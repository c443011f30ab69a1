package rules_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/.ci/mutants"
	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/repo/repotest"
	"github.com/lsm/fiso/.ci/rules"
)

// tree is a tree that no rule refuses, with the changes laid over it; an empty
// content takes a file away.
func tree(changes repotest.Files) repotest.Files {
	files := repotest.Files{
		"go.work": "go 1.26.0\n", "go.mod": "module example.com/x\n\ngo 1.26.0\n", "README.md": "# X\n\n[common](common/), [kafka](./connectors/kafka/README.md#use)\n",
		"LICENSE": "free\n", ".github/workflows/ci.yml": "on: push\n", "picture.png": "",
		"common/go.mod": "module example.com/x/common\n\ngo 1.26.0\n", "common/README.md": "[up](../README.md), [top](/LICENSE), [web](https://example.com/a), [here](#a)\n", "common/CHANGELOG.md": "x\n",
		"common/a/a.go":           "package a\n",
		"connectors/kafka/go.mod": "module example.com/x/connectors/kafka\n\ngo 1.26.0\n", "connectors/kafka/README.md": "x\n", "connectors/kafka/CHANGELOG.md": "x\n",
		"connectors/kafka/k.go":  "package kafka\n",
		"connectors/http/go.mod": "module example.com/x/connectors/http\n\ngo 1.26.0\n", "connectors/http/README.md": "x\n", "connectors/http/CHANGELOG.md": "x\n",
		"connectors/http/h.go": "package http\n",
		"flow/go.mod":          "module example.com/x/flow\n\ngo 1.26.0\n", "flow/README.md": "x\n", "flow/CHANGELOG.md": "x\n",
		"flow/f.go": "package flow\n",
	}
	for name, content := range changes {
		files[name] = content
	}
	for name, content := range files {
		if content == "" {
			delete(files, name)
		}
	}
	return files
}

func TestCheck_refuses(t *testing.T) {
	for name, c := range map[string]struct {
		changes repotest.Files
		want    []string
	}{
		"nothing in a good tree": {nil, nil},
		"a folder that has no place at the top": {
			repotest.Files{"internal/a.go": "package a\n", "internal/b.go": "package a\n"},
			[]string{"internal: does not belong at the top of the repository"},
		},
		"a glossary that explains a term twice, or sends a reader to where it is not": {
			repotest.Files{
				"flow/DESIGN.md": "# X\n\n## Glossary\n\n| term | what it is | where |\n|---|---|---|\n| flow | a | `flow F`, `flow F.Run` |\n| flow | b | `flow G` |\n| sink | c | `flow F.Stop` |\n",
				"flow/f.go":      "package flow\n\ntype F struct{}\n\nfunc (f *F) Run() {}\n",
			},
			[]string{
				"flow/DESIGN.md:8: explains \"flow\" a second time; one name is one concept",
				"flow/DESIGN.md:8: \"flow\" lives at `flow G`, where it is not declared; correct the place",
				"flow/DESIGN.md:9: \"sink\" lives at `flow F.Stop`, where it is not declared",
			},
		},
		"a replace line": {
			repotest.Files{"common/go.mod": "module example.com/x/common\n\ngo 1.26.0\n\nreplace example.com/y => ../y\n"},
			[]string{"common/go.mod:5: a replace line: `go install` refuses"},
		},
		"a module without README and CHANGELOG": {
			repotest.Files{"connectors/http/README.md": "", "connectors/http/CHANGELOG.md": ""},
			[]string{"connectors/http/README.md: missing", "connectors/http/CHANGELOG.md: missing"},
		},
		"common requiring a connector": {
			repotest.Files{"common/go.mod": "module example.com/x/common\n\ngo 1.26.0\n\nrequire example.com/x/connectors/kafka v0.1.0\n"},
			[]string{"common/go.mod:5: common may not import connectors/kafka: it may import no sibling"},
		},
		"a connector requiring another connector": {
			repotest.Files{"connectors/http/go.mod": "module example.com/x/connectors/http\n\ngo 1.26.0\n\nrequire (\n\texample.com/x/common v0.1.0\n\texample.com/x/connectors/kafka v0.1.0\n)\n"},
			[]string{"connectors/http/go.mod:7: connectors/http may not import connectors/kafka: it may import common;"},
		},
		"the pipeline requiring what it builds": {
			repotest.Files{"go.mod": "module example.com/x\n\ngo 1.26.0\n\nrequire example.com/x/common v0.1.0\n"},
			[]string{"go.mod:5: . may not import common"},
		},
		"a module the arrows do not know": {
			repotest.Files{"deploy/go.mod": "module example.com/x/deploy\n\nrequire example.com/x/flow v0.1.0\n", "deploy/README.md": "x\n", "deploy/CHANGELOG.md": "x\n"},
			[]string{"deploy/go.mod:3: deploy may not import flow"},
		},
		"nothing that comes along, and nothing in e2e, which may import all": {
			repotest.Files{
				"flow/go.mod": "module example.com/x/flow\n\ngo 1.26.0\n\nrequire (\n\texample.com/x/common v0.1.0\n\texample.com/x/connectors/kafka v0.1.0\n\texample.com/x/e2e v0.1.0 // indirect\n)\n",
				"e2e/go.mod":  "module example.com/x/e2e\n\nrequire example.com/x/flow v0.1.0\n", "e2e/README.md": "x\n", "e2e/CHANGELOG.md": "x\n",
			},
			nil,
		},
		"a test that sleeps, but not where time is not real": {
			repotest.Files{
				"common/a/a_test.go": "package a\n\nimport \"time\"\n\nfunc wait() {\n\ttime.Sleep(time.Second) // now\n}\n",
				"flow/f_test.go":     "package flow\n\nimport \"time\"\n\nfunc wait() {\n\ttime.Sleep(time.Second)\n}\n",
				"flow/g_test.go":     "package flow\n\nimport _ \"testing/synctest\"\n\n//\ttime.Sleep(\n",
			},
			[]string{"common/a/a_test.go:6: sleeps in real time"},
		},
		"links that lead nowhere, but not in code": {
			repotest.Files{
				"README.md":               "[a](gone.md)\n\n`[b](gone.md)`\n```\n[c](gone.md)\n```\n![d](<pic/ture.png> \"t\") [e](common/gone/) [f](mailto:a@example.com) [g](.) [h](flow)\n",
				"common/a/testdata/in.md": "[x](gone)\n",
			},
			[]string{"README.md:1: links to gone.md, which is not there", "README.md:7: links to pic/ture.png", "README.md:7: links to common/gone/"},
		},
		"a path of one machine": {
			repotest.Files{"common/README.md": "x\ncd /" + "home/ann/src/fiso\n", "LICENSE": "cd \"/" + "Users/ann/x\"\n", "README.md": "see /etc/fiso/flows and https://example.com/" + "home/ann/x\n"},
			[]string{"LICENSE:1: /" + "Users/ann/x is a path of one machine", "common/README.md:2: /" + "home/ann/src"},
		},
		"a hazard whose test is not there, or says too little": {
			repotest.Files{
				"flow/DESIGN.md": "# D\n\n`flow TestGone`\n\n## Hazards and their tests\n\n| hazard | tests |\n|---|---|\n| F1 | x | `flow TestF1`, `flow/a TestF1` |\n| F2 | `flow TestF1`, `flow TestF2`, `flow FuzzF2` |\n| L3 | none |\n\n## Faults found in use and their tests\n\n| U1 | `flow TestF2` |\n| U2 | `flow TestU2` |\n\n## More\n\n| F9 | `flow TestGone` |\n",
				"flow/f_test.go": "package flow\n\n// F1,\n// https://example.com/issues/1: x.\nfunc TestF1() {}\n\n// F2 it is.\nfunc TestF2() {}\n\n// F2: CVE-2019-11253.\nfunc FuzzF2() {}\n\n// U2: no link is due.\nfunc TestU2() {}\n",
			},
			[]string{
				"flow/DESIGN.md:9: there is no TestF1 in flow/a: correct the name", "flow/DESIGN.md:10: the comment of TestF1 in flow does not name F2",
				"flow/DESIGN.md:10: the comment of TestF2 in flow does not link where it happened", "flow/DESIGN.md:11: L3 has no test",
				"flow/DESIGN.md:15: the comment of TestF2 in flow does not name U1",
			},
		},
		"a mutant that no longer applies": {
			repotest.Files{
				mutants.Dir + "/F01-a.mutant": "hazard: F1\nfault: x\ntests: flow . ^TestX$\n\n--- flow/f.go\n<<<<\nno such thing\n====\nx\n>>>>\n",
				mutants.Dir + "/F02-a.mutant": "hazard: F2\nfault: x\ntests: flow . ^TestX$\n\n--- flow/f.go\n<<<<\npackage flow\n====\npackage x\n>>>>\n",
			},
			[]string{"e2e/testdata/mutants/F01-a.mutant: renew it: in flow/f.go this stands 0 times"},
		},
		"no path in a file that is no text": {
			repotest.Files{"common/bin.dat": "\x00 /" + "home/ann/src\n"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := rules.Check(repotest.Open(t, tree(c.changes)), rules.All())
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != len(c.want) {
				t.Errorf("%d findings, want %d: %v", len(found), len(c.want), found)
			}
			for i := range min(len(found), len(c.want)) {
				if !strings.HasPrefix(found[i].String(), c.want[i]) {
					t.Errorf("finding %d:\n%s, want\n%s…", i, found[i], c.want[i])
				}
			}
		})
	}
}

func TestCheck_saysWhatItCouldNotRead(t *testing.T) {
	for rule, gone := range map[string]string{"Mutants": mutants.Dir + "/F01-a.mutant", "Hazards": "flow/DESIGN.md", "Hazards, a test": "common/a/a_test.go", "Sleeps": "common/a/a_test.go", "Links": "README.md", "MachinePaths": "LICENSE"} {
		t.Run(rule, func(t *testing.T) {
			r := repotest.Open(t, tree(repotest.Files{"common/a/a_test.go": "package a\n", "flow/DESIGN.md": "## Hazards and their tests\n", mutants.Dir + "/F01-a.mutant": "x\n"}))
			if err := os.Remove(r.Abs(gone)); err != nil {
				t.Fatal(err)
			}
			if _, err := rules.Check(r, []rules.Rule{map[string]rules.Rule{"Mutants": rules.Mutants, "Hazards": rules.Hazards, "Hazards, a test": rules.Hazards, "Sleeps": rules.Sleeps, "Links": rules.Links, "MachinePaths": rules.MachinePaths}[rule]}); err == nil || !strings.Contains(err.Error(), gone) {
				t.Errorf("got %v, want an error about %s", err, gone)
			}
		})
	}
}

func TestWeight_refusesWhatIsTooHeavy(t *testing.T) {
	r := repotest.Open(t, tree(nil))
	repotest.Commands(t, false, map[string]string{"go": `case $PWD in
*/common) echo fmt; echo k8s.io/api/core/v1; echo k8s.iox/y;;
*/kafka) echo github.com/twmb/franz-go/pkg/kgo; echo github.com/gin-gonic/gin;;
esac`})
	found, err := rules.Weight(t.Context(), r, r.Modules)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		place, _, _ := strings.Cut(f.String(), ", which")
		got = append(got, place)
	}
	want := []string{"common/go.mod: the module compiles k8s.io/api/core/v1", "connectors/kafka/go.mod: the module compiles github.com/gin-gonic/gin"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWeight_saysWhatItCouldNotList(t *testing.T) {
	r := repotest.Open(t, tree(nil))
	repotest.Commands(t, false, map[string]string{"go": "echo no such thing >&2; exit 1"})
	if _, err := rules.Weight(t.Context(), r, []*repo.Module{r.Modules[1]}); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("got %v", err)
	}
}
