package flows

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/flow/plan"
)

func TestTemplates_areValidFlows(t *testing.T) {
	for source := range templates {
		file := flowFile(source, 7, []string{"127.0.0.1:9092"}, "127.0.0.1:8080")
		if b, err := plan.Parse(source+".yaml", []byte(file)); err != nil || b.Name() != "flow-7" {
			t.Errorf("%v\n%s", err, file)
		}
	}
}

func TestParse_reportsInvalidFlags(t *testing.T) {
	o, err := parse([]string{"--counts", "1,20", "--sources", "http"}, &bytes.Buffer{})
	if err != nil || len(o.counts) != 2 || o.counts[1] != 20 || len(o.sources) != 1 || o.command != "go run ./e2e/bench flows --counts 1,20 --sources http" {
		t.Errorf("%+v, %v", o, err)
	}
	for want, args := range map[string][]string{
		`--counts: "0" is not a number of flows`:              {"--counts", "0"},
		`--counts: "x" is not a number of flows`:              {"--counts", "1,x"},
		`--sources: "grpc" is not known; write kafka or http`: {"--sources", "grpc"},
		"flag provided but not defined: -what":                {"--what"},
	} {
		if _, err := parse(args, &bytes.Buffer{}); err == nil || err.Error() != want {
			t.Errorf("%v: got %v, want %s", args, err, want)
		}
	}
}

func TestReport_hasARowForEachProcess(t *testing.T) {
	var out bytes.Buffer
	report(&out, options{command: "go run it"}, []figures{{
		source: "kafka", flows: 500, ready: 2500 * time.Millisecond, resident: 200 << 20, cores: 0.125, collections: 20.4,
		sockets: 2002, goroutines: 9500, metricsBytes: 640 << 10, metricsLines: 10642,
	}})
	for _, want := range []string{"`go run it` on ", "| kafka | 500 | 2.5 s | 200 MiB | 0.125 cores | 20 a minute | 2002 | 9500 | 640 KiB | 10642 |\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}
