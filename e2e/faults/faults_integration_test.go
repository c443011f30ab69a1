//go:build integration

package main

import (
	"strings"
	"testing"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/program"
)

// short is the scale of each scenario in this test; go tool mage faults runs all at scale 1.
var short = map[string]float64{
	"sigkill": 0.06, "sigterm": 0.1, "members": 0.1, "pause": 0.1, "reload": 0.1, "poison": 0.1,
	"outage": 0.01, "memory": 0.01, "deadletters": 0.01, "brokers": 0.01,
}

// TestIntegration_nothingIsLostUnderFaults runs a short form of every scenario on a real Kafka,
// with the same oracle as the long form.
func TestIntegration_nothingIsLostUnderFaults(t *testing.T) {
	if err := kafkatest.Available(); err != nil {
		t.Skipf("a real Kafka is needed: %v", err)
	}
	var scaled []harness.Scenario
	for _, sc := range scenarios {
		scale, known := short[sc.Name]
		if !known {
			t.Fatalf("no scale for %s in this test", sc.Name)
		}
		sc.Scale = scale
		scaled = append(scaled, sc)
	}
	results, err := program.Run(t.Context(), program.Options{Scenarios: scaled, Scale: 1}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Good() {
			t.Errorf("%s: %s, %v\n%s", r.Scenario, r.Verdict.String(), r.Err, strings.Join(r.Details, "\n"))
		}
	}
}
