// Package profile writes CPU and allocation profiles, for --profile of the benchmark.
package profile

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// Begin starts a CPU profile in name.cpu.pprof. end stops it, and writes the allocations since the
// start of the program to name.mem.pprof.
func Begin(name string) (end func(), err error) {
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("create a profile file: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		_ = cpu.Close() // it is empty
		return nil, fmt.Errorf("start the profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = cpu.Close() // an incomplete profile is detected when it is read
		if mem, err := os.Create(name + ".mem.pprof"); err == nil {
			_ = pprof.Lookup("allocs").WriteTo(mem, 0) // the same
			_ = mem.Close()                            // the same
		}
	}, nil
}
