package pipeline_test

import (
	"testing"
)

const virtualTest = "//go:build synctests\n\npackage simulation\n\nimport (\n\t\"flag\"\n\t\"fmt\"\n\t\"testing\"\n)\n\nvar seeds = flag.Int(\"seeds\", 3, \"\")\n\n" +
	"func TestSimulation(t *testing.T) {\n\tfmt.Println(\"seeds:\", *seeds)\n\tif *seeds == 13 {\n\t\tt.Error(\"unlucky\")\n\t}\n}\n"

func TestTestAll_runsWhatIsInVirtualTimeTwice(t *testing.T) {
	files := tree()
	files["flow/simulation/doc.go"] = "// Package simulation simulates.\npackage simulation\n"
	files["flow/simulation/s_test.go"] = virtualTest
	p, out := at(t, files)
	p.Module = "flow"
	if err := p.TestAll(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mustSay(t, out, "tests in virtual time\n", "tests in virtual time, without the race detector\n", "DONE 1 tests")
}

func TestTest_tellsOfAFaultInVirtualTime(t *testing.T) {
	files := tree()
	files["flow/simulation/s_test.go"] = virtualTest + "\nfunc TestRed(t *testing.T) { t.Error(\"red\") }\n"
	p, out := at(t, files)
	p.Module = "flow"
	mustRefuse(t, p.Test(t.Context()), "not all is well")
	mustSay(t, out, "FAIL: flow/simulation TestRed")
}

func TestSimulate_showsWhatTheProgramSays(t *testing.T) {
	files := tree()
	files["flow/simulation/s_test.go"] = virtualTest
	p, out := at(t, files)
	if err := p.Simulate(t.Context(), 7); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mustSay(t, out, "seeds: 7")
	mustRefuse(t, p.Simulate(t.Context(), 13), "the simulation: ")
}
