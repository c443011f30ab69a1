package rounds

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/flow/plan"
)

func TestScenarios_areValidFlows(t *testing.T) {
	for _, s := range Scenarios {
		file := s.flow(place{brokers: []string{"127.0.0.1:9092"}, topic: "orders", group: "g", out: "out", url: "http://127.0.0.1:1/x"})
		if _, err := plan.Parse(s.Name+".yaml", []byte(file)); err != nil {
			t.Errorf("%v\n%s", err, file)
		}
		if n := s.scaled(0.001).Records; n.Count < 2*n.Partitions || n.Count%n.Partitions != 0 {
			t.Errorf("%s: %d records do not go evenly into %d partitions", s.Name, n.Count, n.Partitions)
		}
	}
}

func TestParse_namesTheKnownScenarios(t *testing.T) {
	if _, list, err := parse([]string{"--only", "post,slow", "--quick"}, &bytes.Buffer{}); err != nil || len(list) != 2 {
		t.Error(list, err)
	}
	if _, _, err := parse([]string{"--only", "pots"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "there are post, slow") {
		t.Error(err)
	}
	for _, args := range [][]string{{"--rounds", "0"}, {"--scale", "-1"}, {"more"}, {"--what"}} {
		if _, _, err := parse(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestMallocs_areParsed(t *testing.T) {
	if n, err := parseMallocs("# HELP\ngo_memstats_mallocs_total 1.5e+06\n"); err != nil || n != 1.5e6 {
		t.Error(n, err)
	}
	if _, err := parseMallocs(""); err == nil {
		t.Error("no count was accepted")
	}
}

func TestReport_showsMediansOfRounds(t *testing.T) {
	r := result{Scenario: Scenarios[1]}
	for _, x := range []float64{1, 3, 2} {
		r.add("floor", figures{Rate: 1000 * x, CPU: 10 * time.Microsecond, Sum: 1})
		r.add("fiso", figures{Rate: 900 * x, CPU: 20 * time.Microsecond, Sum: 1})
	}
	if err := r.same(); err != nil {
		t.Error(err)
	}
	parts := r
	parts.Delay, parts.Name = 0, "partitions-1"
	post, wide := parts, parts
	post.Name, wide.Name, wide.Filter = "post", "partitions-64", true
	wide.fiso = []figures{{CPU: 40 * time.Microsecond, Mallocs: 3}, {CPU: 40 * time.Microsecond, Mallocs: 3}, {CPU: 40 * time.Microsecond, Mallocs: 3}}
	var out bytes.Buffer
	report(&out, Options{Rounds: 3, Command: "go run it"}, []result{r, parts, post, wide})
	for _, want := range []string{
		"`go run it` on ", "| 1800 / 2000 | 0.90 | ≥ 0.90 | 20.0 / 10.0 | 2.00 | **≤ 1.3** |", "could do 51200/s", "| 3.0 / 0.0 | – | 0 / 0 | 0.00 | – | – | – | – |",
		"relative to 8: fiso-flow 1.00, 1, 0.50; floor 1.00, 1, 1.00.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	r.fiso[2].Sum = 2
	if r.same() == nil {
		t.Error("different events were not reported")
	}
}
