//go:build synctests

package simulation

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// lastLines is how many lines of the history a failure shows.
const lastLines = 120

// TestSimulation runs each seed as its own simulation.
func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		simulate(t, *oneSeed, testing.Verbose())
		return
	}
	n := *seeds
	if n == 0 {
		n = defaultSeeds
		if testing.Short() {
			n = 4
		}
	}
	report(t, n)
	for i := range n {
		seed := *firstSeed + uint64(i) //nolint:gosec // G115: small
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed, false)
		})
	}
}

// simulate runs one seed and judges its history.
func simulate(t *testing.T, seed uint64, all bool) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlan(seed, *onlyFaults)
		sim := newSimulation(t, p)
		sim.run(t.Context())
		entries := sim.history.all()
		violations := append(sim.violations, judge(sim, entries)...)
		counters.end(seed, len(violations) == 0)
		if len(violations) == 0 {
			if all {
				t.Logf("%s\n%s", p, formatEntries(entries, len(entries), nil))
			}
			return
		}
		last := lastLines
		if all {
			last = len(entries)
		}
		t.Errorf("seed %d breaks %d rules:\n  %s\nplan: %s\nhistory:\n%s\nrun it again in the directory flow:\n"+
			"  go test -tags synctests ./simulation -run TestSimulation -seed %d -v%s",
			seed, len(violations), strings.Join(violations[:min(len(violations), 20)], "\n  "), p,
			formatEntries(entries, last, sim.relevantTo(entries, violations)), seed, faultsFlag())
	})
}

func faultsFlag() string {
	if *onlyFaults != "" {
		return " -faults " + *onlyFaults
	}
	return ""
}
