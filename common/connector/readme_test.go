package connector_test

import (
	"os"
	"strings"
	"testing"
)

// The README shows the function of the example, which the tests compile and run.
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

// The page for authors shows the connector of author_test.go, which the tests
// compile and run.
func TestREADME_showsTheConnectorThatRuns(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("author_test.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range strings.Split(string(readme), "```go\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if strings.HasPrefix(block, "// printerConnector") {
			continue // flow/plan compiles it
		}
		if shown++; !strings.Contains(string(example), block) {
			t.Errorf("author_test.go does not have, as it is:\n%s", block)
		}
	}
	if shown != 3 {
		t.Errorf("%d parts are shown, want a source, a sink and their tests", shown)
	}
}
