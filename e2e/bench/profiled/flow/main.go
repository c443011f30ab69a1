// Command profiled is fiso-flow with a CPU profile of its whole run and an allocation profile at
// its end, for --profile of the benchmark. BENCH_PROFILE names the files without extension.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/e2e/bench/internal/profile"
	"github.com/lsm/fiso/flow/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	end, err := profile.Begin(os.Getenv("BENCH_PROFILE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // main
	}
	code := cli.Main(ctx, os.Args[1:], command.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	end()
	stop()
	os.Exit(code) //nolint:forbidigo // end of main
}
