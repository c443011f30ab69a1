package connector_test

import (
	"os"
	"strings"
	"testing"
)

// The README shows the function of the example, which is compiled and run.
func TestREADME_showsTheExampleThatRuns(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(example), "// deliver sends")
	body, _, ok2 := strings.Cut(rest, "\n}\n")
	if !ok || !ok2 || !strings.Contains(string(readme), "// deliver sends"+body+"\n}\n") {
		t.Error("common/README.md does not show deliver of connector/example_test.go as it is")
	}
}
