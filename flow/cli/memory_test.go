package cli

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// U18: the limit covers all memory that the runtime holds.
func TestMemoryLimit_boundsTheHeapAndNeverStarvesTheCollector(t *testing.T) {
	for _, c := range []struct {
		name   string
		beside uint64
		recent []uint64
		want   int64
	}{
		{"a small live heap", 10 << 20, []uint64{10 << 20}, 160 << 20},
		{"a stalled flow with default settings", 16 << 20, []uint64{100 << 20}, 160 << 20},
		{"allocations during a collection", 16 << 20, []uint64{220 << 20, 100 << 20, 240 << 20}, 160 << 20},
		{"generous settings", 0, []uint64{1 << 30, 2 << 30}, 9<<27 + 24<<20},
		{"many flows", 128 << 20, []uint64{128 << 20}, 9<<25 + 24<<20}, // the limit was 160 MiB, less than the memory in use
	} {
		if got := memoryLimit(c.beside, c.recent...); got != c.want {
			t.Errorf("%s: %d MiB, want %d MiB", c.name, got>>20, c.want>>20)
		}
	}
}

// U18: the limit was set as if it covered only the heap. 500 idle flows hold more than that in
// stacks and tables, so the collector ran all the time.
func TestFollowHeap_leavesRoomBesideTheStacksOfManyGoroutines(t *testing.T) {
	defer debug.FreeOSMemory() // a collection frees the stacks
	release := make(chan struct{})
	var parked, ended sync.WaitGroup
	for range 3000 {
		parked.Add(1)
		ended.Go(func() { deep(900, func() { parked.Done(); <-release }) })
	}
	parked.Wait()
	defer ended.Wait()
	defer close(release)
	_, beside := memoryInUse()
	if beside < memoryTarget {
		t.Fatalf("%d MiB beside the heap are too few for this test", beside>>20)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { followHeap(ctx); close(done) }()
	until(t, "room", func() bool {
		live, beside := memoryInUse()
		return debug.SetMemoryLimit(-1) < math.MaxInt64 && uint64(debug.SetMemoryLimit(-1)) >= live+beside+memorySpare
	})
	cancel()
	<-done
}

// deep calls f on a stack of about 64 bytes per level.
func deep(levels int, f func()) {
	var frame [32]byte
	if levels == 0 {
		f()
		return
	}
	frame[levels%len(frame)] = 1
	deep(levels-1, f)
	runtime.KeepAlive(frame)
}

func TestFollowHeap_setsALimitAndLeavesOneThatIsSet(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { followHeap(ctx); close(done) }()
	until(t, "the limit", func() bool { return debug.SetMemoryLimit(-1) == memoryTarget })
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
