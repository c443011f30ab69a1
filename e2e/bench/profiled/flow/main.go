// Command profiled is fiso-flow with a CPU profile of its whole life, and an
// allocation profile of its end, for the benchmark's --profile. BENCH_PROFILE
// names the files, without their endings.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/lsm/fiso/flow/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	end, err := profile(os.Getenv("BENCH_PROFILE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // main
	}
	code := cli.Main(ctx, os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	end()
	stop()
	os.Exit(code) //nolint:forbidigo // the end of main
}

// profile begins a profile, which end writes.
func profile(name string) (end func(), err error) {
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
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
