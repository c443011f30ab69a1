package configdoc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configdoc"
)

type server struct {
	Port int `yaml:"port" default:"80" doc:"Where it listens."`
}

type client struct {
	URL string `yaml:"url" required:"true" doc:"What it asks."`
}

const (
	serverMark = "<!-- config: configdoc_test.server -->\n"
	clientMark = "<!-- config: configdoc_test.client -->\n"
	end        = "<!-- /config -->\n"
)

// recorder records the failures of a test.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) }

// readme writes a file, calls README on it, and returns the failure and the new text of the file.
func readme(t *testing.T, text string, structs ...any) (said, now string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	rec := &recorder{TB: t}
	configdoc.README(rec, file, structs...)
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return rec.said, string(after)
}

func TestREADME_writesTablesWhenAskedAndComparesThemOtherwise(t *testing.T) {
	text := "# Title\n\n" + serverMark + "an old table\n" + end + "\nbetween\n\n" + clientMark + end + "end"
	want := "# Title\n\n" + serverMark + "\n" + config.Table(server{}) + "\n" + end + "\nbetween\n\n" + clientMark + "\n" + config.Table(client{}) + "\n" + end + "end"

	said, now := readme(t, text, server{}, &client{})
	if !strings.Contains(said, "README.md differs from the generated text (first difference in line 4); run: go tool mage generate") || now != text {
		t.Errorf("said %q, and the file is\n%s", said, now)
	}
	t.Setenv("FISO_GENERATE", "1")
	if said, now = readme(t, text, server{}, &client{}); said != "" || now != want {
		t.Errorf("said %q, and the file is\n%s\nwant\n%s", said, now, want)
	}
	t.Setenv("FISO_GENERATE", "")
	if said, _ = readme(t, now, server{}, &client{}); said != "" {
		t.Errorf("of what it wrote itself it says %q", said)
	}
}

func TestREADME_refuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"a struct without a place":      {"# Title\n", "there is no table of configdoc_test.server: add a line <!-- config: configdoc_test.server -->"},
		"a place without a struct":      {clientMark + end, "the table of configdoc_test.client is repeated or unknown; the test has configdoc_test.server"},
		"two places for one struct":     {serverMark + end + serverMark + end, "the table of configdoc_test.server is repeated"},
		"a table that nothing closes":   {serverMark + "rest\n", "the table of configdoc_test.server is not closed by <!-- /config -->"},
		"a table that another one ends": {serverMark + clientMark + end, "the table of configdoc_test.server is not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("FISO_GENERATE", "1")
			said, now := readme(t, c.text, server{})
			if !strings.Contains(said, c.want) || now != c.text {
				t.Errorf("said %q, want %q; the file is\n%s", said, c.want, now)
			}
		})
	}
}

func TestFile_isMadeWhereItIsMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.json")
	rec := &recorder{TB: t}
	configdoc.File(rec, file, []byte("{}\n"))
	if !strings.Contains(rec.said, "schema.json differs from the generated text") {
		t.Errorf("said %q", rec.said)
	}
	t.Setenv("FISO_GENERATE", "1")
	configdoc.File(t, file, []byte("{}\n"))
	if got, err := os.ReadFile(file); err != nil || string(got) != "{}\n" {
		t.Errorf("the file is %q, %v", got, err)
	}
}

func TestFile_tellsWhereTheDifferenceIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte("a\nb"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, line := range map[string]string{"a\nc": "in line 2", "a\nb\nc": "in line 2", "x": "in line 1"} {
		rec := &recorder{TB: t}
		configdoc.File(rec, file, []byte(want))
		if !strings.Contains(rec.said, line) {
			t.Errorf("for %q it said %q", want, rec.said)
		}
	}
}

func TestFile_saysWhatItCouldNotReadOrWrite(t *testing.T) {
	t.Setenv("FISO_GENERATE", "1")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		call func(t testing.TB)
		want string
	}{
		"no README":             {func(t testing.TB) { configdoc.README(t, filepath.Join(dir, "none.md")) }, "reading a file that holds configuration tables: "},
		"a folder":              {func(t testing.TB) { configdoc.File(t, dir, nil) }, "reading a generated file: "},
		"a folder that is gone": {func(t testing.TB) { configdoc.File(t, filepath.Join(dir, "gone", "x"), nil) }, "writing a generated file: "},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{TB: t}
			c.call(rec)
			if !strings.Contains(rec.said, c.want) {
				t.Errorf("said %q, want %q", rec.said, c.want)
			}
		})
	}
}
