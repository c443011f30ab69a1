package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

var all = []harness.Scenario{{Name: "sigkill"}, {Name: "brokers", Parts: []harness.Scenario{{Name: "brokers-one"}, {Name: "brokers-two"}}}}

func TestParse_namesTheKnownScenarios(t *testing.T) {
	o, err := parse(all, []string{"--scenario", "brokers", "--scale", "0.1", "--output", "json"}, &bytes.Buffer{})
	if err != nil || len(o.Scenarios) != 1 || o.Scale != 0.1 || !o.JSON {
		t.Error(o, err)
	}
	if o, err := parse(all, nil, &bytes.Buffer{}); err != nil || len(o.Scenarios) != 2 || o.Scale != 1 {
		t.Error(o, err)
	}
	if o, err := parse(all, []string{"--scenario", "brokers-two"}, &bytes.Buffer{}); err != nil || len(o.Scenarios) != 1 || o.Scenarios[0].Name != "brokers-two" {
		t.Error("a part does not run alone:", o, err)
	}
	for want, args := range map[string][]string{
		"there are sigkill, brokers": {"--scenario", "sigklil"}, "above 0": {"--scale", "0"}, "1 or 3": {"--brokers", "2"},
		"table or json": {"--output", "yaml"}, "unexpected argument": {"more"}, "not defined": {"--what"},
	} {
		if _, err := parse(all, args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func results() []harness.Result {
	return []harness.Result{
		{Scenario: "sigkill", Faults: 100, Seconds: 200, Verdict: ledger.Verdict{Accepted: 10, Delivered: 10, Duplicates: 3, Bound: 5}, Notes: []string{"a figure"}},
		{Scenario: "brokers", Faults: 2, Seconds: 100, Verdict: ledger.Verdict{Accepted: 5, Delivered: 4, Missing: 1, Details: []string{"event 4 is missing"}}},
		{Scenario: "memory", Err: errors.New("no memory")},
	}
}

func TestTable_hasARowForEachScenarioAndTheirSum(t *testing.T) {
	var out bytes.Buffer
	writeTable(&out, results())
	for _, want := range []string{
		"| sigkill | 10 | 100 | 10 | 0 | 0 | 3 | 5 | 0 | 0 | 0.0 s | 200 | good |", "BROKEN: 1 missing", "| all | 15 | 102 | 14 ",
		"- sigkill: a figure", "- brokers: event 4 is missing", "- memory: no memory",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestJSON_hasARowForEachScenario(t *testing.T) {
	var out bytes.Buffer
	if err := writeJSON(&out, results()); err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Scenario  string
		Delivered int
		Good      bool
		Error     string
	}
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil || len(rows) != 3 || !rows[0].Good || rows[1].Good || rows[2].Error != "no memory" ||
		rows[0].Delivered != 10 {
		t.Error(rows, err)
	}
}
