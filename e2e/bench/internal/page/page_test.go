package page

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRenew_putsFiguresBetweenTheMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "B.md")
	if _, err := Open(file); err == nil {
		t.Error("a file that is not there was accepted")
	}
	for text, want := range map[string]string{
		"a\n<!-- figures -->\nold\n<!-- /figures -->\nb\n": "a\n<!-- figures -->\nnew\n<!-- /figures -->\nb\n",
		"a\n<!-- figures -->\nold\n":                       "",
		"a\n":                                              "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Open(file)
		if err == nil {
			err = p.Renew([]byte("\nnew\n"))
		}
		got, readErr := os.ReadFile(file)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if want == "" && (err == nil || string(got) != text) || want != "" && (err != nil || string(got) != want) {
			t.Errorf("%q became %q: %v", text, got, err)
		}
	}
}

func TestMark_showsAMissedGoalInBold(t *testing.T) {
	if good, bad := Mark(true, "≥ %.1f", 2), Mark(false, "≥ %.1f", 2); good != "≥ 2.0" || bad != "**≥ 2.0**" {
		t.Error(good, bad)
	}
	if m := Median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Error(m)
	}
	if m := Machine(); !strings.Contains(m, " cores (") {
		t.Error(m)
	}
}
