//go:build synctests

package simulation

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var (
	seeds      = flag.Int("seeds", 0, "how many seeds to run; 0: as many as take about a minute")
	firstSeed  = flag.Uint64("first", 1, "the first of the seeds")
	oneSeed    = flag.Uint64("seed", 0, "run only this seed; with -v its history is printed")
	onlyFaults = flag.String("faults", "", "kinds of faults, separated by commas, instead of those that the seed determines; none: no fault")
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
