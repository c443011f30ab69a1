package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

type documented struct {
	shared  `yaml:",inline"`
	Brokers Strings             `yaml:"brokers" required:"true" doc:"Brokers to ask first, as host:port."`
	Start   string              `yaml:"startOffset" default:"latest" enum:"earliest|latest" doc:"Where to begin | or not."`
	Linger  *int                `yaml:"linger" default:"5" doc:"In milliseconds."`
	Wait    []float64           `yaml:"waits"`
	On      bool                `yaml:"on" default:"true"`
	Max     Bytes               `yaml:"max" default:"1MiB"`
	For     map[string]uint     `yaml:"for"`
	Every   everything          `yaml:"every" doc:"All there is."`
	Targets []inner             `yaml:"targets"`
	ByName  map[string]inner    `yaml:"byName"`
	TLS     TLS                 `yaml:"tls"`
	Modes   Strings             `yaml:"modes" enum:"a|b" default:"a"`
	Levels  []string            `yaml:"levels" enum:"x|y"`
	Self    *documented         `yaml:"self"`
	Matrix  [][]map[string]bool `yaml:"matrix"`
}

// golden compares got with a file; GOLDEN=write writes the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("GOLDEN") == "write" {
		write(t, file, got)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed (GOLDEN=write go test writes it); got\n%s", file, got)
	}
}

func TestSchema_saysWhatTheTagsSay(t *testing.T) {
	text, err := json.MarshalIndent(Schema(&documented{}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/schema.json", string(text)+"\n")
}

func TestTable_saysWhatTheTagsSay(t *testing.T) {
	table := Table(documented{})
	for range 20 {
		if Table(documented{}) != table {
			t.Fatal("not the same twice")
		}
	}
	for _, row := range []string{
		"| `brokers` | list of strings | **required** | Brokers to ask first, as host:port. |",
		"| `startOffset` | `earliest`, `latest` | `latest` | Where to begin \\| or not. |",
		"| `linger` | integer | `5` | In milliseconds. |",
		"| `every.in.wait` | duration | `1s` |  |",
		"| `targets[].name` | string | **required** |  |",
		"| `byName.*.name` | string | **required** |  |",
	} {
		if !strings.Contains(table, row+"\n") {
			t.Errorf("no row %s", row)
		}
	}
	golden(t, "testdata/table.md", table)
}
