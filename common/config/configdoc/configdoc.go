// Package configdoc keeps generated documentation of configuration equal to its structs: the tables in
// READMEs, and files with a JSON Schema.
//
// Tests call it. A test whose name begins with TestGenerated compares a committed file with the generated
// text:
//
//	func TestGenerated_README(t *testing.T) {
//		configdoc.README(t, "README.md", kafka.SourceConfig{}, kafka.SinkConfig{})
//	}
//
// With FISO_GENERATE=1 in the environment, as in `go tool mage generate`, the test writes the file.
package configdoc

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
)

// generate is the environment setting with which files are written.
const generate = "FISO_GENERATE"

const (
	opening = "<!-- config: "
	closing = "<!-- /config -->"
)

// README compares the configuration tables of a Markdown file with the structs, and fails the test if one
// differs. A table is between two lines,
//
//	<!-- config: kafka.SourceConfig -->
//	<!-- /config -->
//
// of which the first names a struct by its package and type. Every struct must have a table, and every table
// a struct.
func README(t testing.TB, file string, structs ...any) {
	t.Helper()
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("reading a file that holds configuration tables: %v", err)
		return
	}
	want, err := fill(have, structs)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
		return
	}
	File(t, file, want)
}

// File compares a generated file with want, and fails the test if they differ.
func File(t testing.TB, file string, want []byte) {
	t.Helper()
	have, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatalf("reading a generated file: %v", err)
		return
	}
	if err == nil && bytes.Equal(have, want) {
		return
	}
	if os.Getenv(generate) == "" {
		t.Errorf("%s differs from the generated text (first difference in line %d); run: go tool mage generate", file, difference(have, want))
		return
	}
	if err := os.WriteFile(file, want, 0o644); err != nil {
		t.Fatalf("writing a generated file: %v", err)
	}
}

// fill replaces the text between the lines with the tables of the structs.
func fill(text []byte, structs []any) ([]byte, error) {
	tables := map[string]string{}
	for _, s := range structs {
		tables[name(s)] = config.Table(s)
	}
	var made strings.Builder
	inside := ""
	for line := range strings.Lines(string(text)) {
		mark := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(mark, opening) && inside != "":
			return nil, fmt.Errorf("the table of %s is not closed by %s", inside, closing)
		case strings.HasPrefix(mark, opening):
			inside = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(mark, opening), "-->"))
			table, ok := tables[inside]
			if !ok {
				return nil, fmt.Errorf("the table of %s is repeated or unknown; the test has %s", inside, known(structs))
			}
			delete(tables, inside)
			made.WriteString(line + "\n" + table + "\n")
		case mark == closing:
			inside = ""
			made.WriteString(line)
		case inside == "":
			made.WriteString(line)
		}
	}
	if inside != "" {
		return nil, fmt.Errorf("the table of %s is not closed by %s", inside, closing)
	}
	for missing := range tables {
		return nil, fmt.Errorf("there is no table of %s: add a line %s%s --> and a line %s", missing, opening, missing, closing)
	}
	return []byte(made.String()), nil
}

// name returns package and type of a struct or of a pointer to one, such as kafka.SourceConfig.
func name(s any) string {
	return strings.TrimLeft(fmt.Sprintf("%T", s), "*")
}

func known(structs []any) string {
	var names []string
	for _, s := range structs {
		names = append(names, name(s))
	}
	return strings.Join(names, ", ")
}

// difference returns the number of the first line in which two texts differ.
func difference(a, b []byte) int {
	left, right := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(left), len(right)) {
		if !bytes.Equal(left[i], right[i]) {
			return i + 1
		}
	}
	return min(len(left), len(right))
}
