package cli

import (
	"context"
	"math"
	"runtime/debug"
	"testing"
)

func TestMemoryLimit_boundsTheHeapAndNeverStarvesTheCollector(t *testing.T) {
	for name, c := range map[string]struct {
		recent []uint64
		want   int64
	}{
		"little lives":                          {[]uint64{10 << 20}, 160 << 20},
		"a stalled flow, as shipped":            {[]uint64{100 << 20}, 160 << 20},
		"what was made while the collector ran": {[]uint64{220 << 20, 100 << 20, 240 << 20}, 160 << 20},
		"generous settings":                     {[]uint64{1 << 30, 2 << 30}, 9<<27 + 24<<20},
	} {
		if got := memoryLimit(c.recent...); got != c.want {
			t.Errorf("%s: %d MiB, want %d MiB", name, got>>20, c.want>>20)
		}
	}
}

func TestFollowHeap_setsALimitAndLeavesOneThatIsSet(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { followHeap(ctx); close(done) }()
	until(t, "the limit", func() bool { return debug.SetMemoryLimit(-1) == heapGoal })
	cancel()
	<-done
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Error("the limit outlives what it is for")
	}
	const own = 5 << 30
	debug.SetMemoryLimit(own)
	defer debug.SetMemoryLimit(math.MaxInt64)
	followHeap(t.Context()) // returns at once
	if got := debug.SetMemoryLimit(-1); got != own {
		t.Errorf("GOMEMLIMIT became %d", got)
	}
}
