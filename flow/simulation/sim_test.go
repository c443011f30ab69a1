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

// TestSimulation runs seeds, each in its own world.
func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		simulate(t, *oneSeed, testing.Verbose())
		return
	}
	n := *seeds
	if n == 0 {
		n = usualSeeds
		if testing.Short() {
			n = 4
		}
	}
	report(t, n)
	for i := range n {
		seed := *first + uint64(i) //nolint:gosec // G115: small
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed, false)
		})
	}
}

// simulate runs one seed and judges its history.
func simulate(t *testing.T, seed uint64, all bool) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlan(seed, *onlyThat)
		w := newWorld(t, p)
		w.run(t.Context())
		entries := w.history.all()
		broken := append(w.breaks, judge(w, entries)...)
		happened.end(seed, len(broken) == 0)
		if len(broken) == 0 {
			if all {
				t.Logf("%s\n%s", p, tell(entries, len(entries), nil))
			}
			return
		}
		last := lastLines
		if all {
			last = len(entries)
		}
		t.Errorf("seed %d breaks %d rules:\n  %s\nplan: %s\nhistory:\n%s\nrun it again, in the folder flow:\n  go test -tags synctests ./simulation -run TestSimulation -seed %d -v%s",
			seed, len(broken), strings.Join(broken[:min(len(broken), 20)], "\n  "), p,
			tell(entries, last, w.about(entries, broken)), seed, again())
	})
}

func again() string {
	if *onlyThat != "" {
		return " -faults " + *onlyThat
	}
	return ""
}
