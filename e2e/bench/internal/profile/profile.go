// Package profile writes down where a program spends its time, for the
// benchmark's --profile.
package profile

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// Begin begins a CPU profile, to name.cpu.pprof. end ends it, and adds the
// allocations since the program began, to name.mem.pprof.
func Begin(name string) (end func(), err error) {
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("make a file for the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		_ = cpu.Close() // nothing is in it
		return nil, fmt.Errorf("begin the profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = cpu.Close() // a profile that is cut short says so itself
		if mem, err := os.Create(name + ".mem.pprof"); err == nil {
			_ = pprof.Lookup("allocs").WriteTo(mem, 0) // the same
			_ = mem.Close()                            // the same
		}
	}, nil
}
