package plan

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/stdout"
)

// printer stands for the module of the connector.
var printer = struct {
	New func(to io.Writer) connector.Sink
}{func(to io.Writer) connector.Sink { return stdout.New(to) }}

// printerConnector is the entry for connectors.
var printerConnector = connectorType{name: "printer", sink: func() sink { return new(printerSink) }}

// printerSink is the config of the sink. It has no settings: they would be fields with tags.
type printerSink struct {
	noExpressions `yaml:"-"` // another sink compiles them with transform.NewExpression
}

func (c *printerSink) describe() string { return "a line of JSON for each event" }

// Events go one by one.
func (c *printerSink) wantBatches()           {}
func (c *printerSink) batch() *delivery.Batch { return nil }

// The data of an event must be valid JSON, because it becomes a part of the line.
func (c *printerSink) writesJSON() bool { return true }

func (c *printerSink) build(env Env) (connector.Sink, error) { return printer.New(env.Stdout), nil }

// The page for authors of connectors shows the file of a sink as it compiles here.
func TestREADME_showsHowASinkBecomesAType(t *testing.T) {
	file, err := os.ReadFile("author_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../common/connector/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(file), "// printerConnector is")
	shown, _, ok2 := strings.Cut(rest, "\n// The page for authors")
	if !ok || !ok2 || !strings.Contains(string(page), "```go\n// printerConnector is"+shown+"```\n") {
		t.Error("common/connector/README.md does not show printerSink of author_test.go as it is")
	}
	s := printerConnector.sink()
	if s.batch() != nil || !s.writesJSON() || s.compile("sink", "sink", nil) != nil || s.describe() == "" {
		t.Errorf("got %+v", s)
	}
	s.wantBatches()
	built, err := s.build(Env{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := built.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
