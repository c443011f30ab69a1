package spec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	"github.com/lsm/fiso/link/spec"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "../README.md", spec.Config{}, spec.Target{})
}

// Every configuration in the READMEs, and the example in deploy, is valid.
func TestREADME_examplesAreValid(t *testing.T) {
	for _, tc := range []struct {
		file  string
		least int // number of examples at least
	}{{"../README.md", 4}, {"../../README.md", 1}, {"../../deploy/link/config.yaml", 1}} {
		text, err := os.ReadFile(tc.file)
		if err != nil {
			t.Fatal(err)
		}
		examples := [][]byte{text}
		if filepath.Ext(tc.file) == ".md" {
			examples = regexp.MustCompile("(?s)```yaml\n.*?```").FindAll(text, -1)
		}
		checked := 0
		for _, e := range examples {
			e = bytes.TrimSuffix(bytes.TrimPrefix(e, []byte("```yaml\n")), []byte("```"))
			if !bytes.Contains(e, []byte("targets:")) {
				continue // a flow
			}
			checked++
			if _, err := spec.Parse(tc.file, e); err != nil {
				t.Errorf("%s\n%v", e, err)
			}
		}
		if checked < tc.least {
			t.Errorf("%s: %d examples", tc.file, checked)
		}
	}
}
