package spec_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	"github.com/lsm/fiso/link/spec"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "../README.md", spec.Config{}, spec.Target{})
}

// Every configuration that the README shows is one.
func TestREADME_examplesAreValid(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, b := range blocks {
		if _, err := spec.Parse("README.md", b[1]); err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
	}
}
