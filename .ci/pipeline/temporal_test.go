package pipeline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lsm/fiso/.ci/repo/repotest"
)

// withTemporal adds a module whose integration tests want the real Temporal, and nothing
// else.
func withTemporal() repotest.Files {
	files := tree()
	files["connectors/kafka/t_integration_test.go"] = "//go:build integration\n\npackage kafka\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n" +
		"func TestTemporal(t *testing.T) {\n\tif _, err := os.Stat(os.Getenv(\"FISO_TEMPORAL\")); err != nil {\n\t\tt.Error(err)\n\t}\n}\n"
	return files
}

// goThatInstalls answers go install by a script, and leaves every other use of go alone.
func goThatInstalls(t *testing.T, script string) string {
	t.Helper()
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	return `if [ "$1" != install ]; then exec ` + real + ` "$@"; fi
` + script
}

const installs = `test "$GOWORK" = off && mkdir -p "$GOBIN" && touch "$GOBIN/temporal"`

func TestIntegration_buildsTemporalOnceWhereItIsWanted(t *testing.T) {
	p, out := at(t, withTemporal())
	repotest.Commands(t, false, map[string]string{"go": goThatInstalls(t, installs), "mvn": "exit 1"})
	for range 2 {
		if err := p.Integration(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	mustSay(t, out, "DONE 1 tests")
	if n := strings.Count(out.String(), "building Temporal"); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestIntegration_saysWhyThereIsNoTemporal(t *testing.T) {
	for _, c := range []struct{ name, script, words string }{
		{"no network", "echo no route >&2; exit 1", "no route"},
		{"nothing built", "exit 0", "keeping what was built of Temporal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := at(t, withTemporal())
			repotest.Commands(t, false, map[string]string{"go": goThatInstalls(t, c.script)})
			mustRefuse(t, p.Integration(t.Context()), c.words)
		})
	}
	t.Run("no place", func(t *testing.T) {
		p, _ := at(t, withTemporal())
		if err := os.RemoveAll(filepath.Join(p.Root, ".cache")); err != nil {
			t.Fatal(err)
		}
		repotest.Write(t, p.Root, ".cache", "a file")
		mustRefuse(t, p.Integration(t.Context()), ".cache")
	})
}
