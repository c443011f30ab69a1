// Command bench measures fiso-flow against the floor, the least that a Go
// program could spend on the same work, and fiso-link against nginx and others.
// Run it from the top of the repository:
//
//	go run ./e2e/bench            # fiso-flow, about eight minutes
//	go run ./e2e/bench link       # fiso-link, about eight minutes
//	go run ./e2e/bench --quick    # of either: about two
//	go run ./e2e/bench flows      # 1 to 1,000 flows at rest in a process, about six
//
// It starts itself again as the broker, the floor and the like, so that what
// each spends can be told apart.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lsm/fiso/e2e/bench/internal/calls"
	"github.com/lsm/fiso/e2e/bench/internal/flows"
	"github.com/lsm/fiso/e2e/bench/internal/rounds"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	args, measure := os.Args[1:], rounds.Main
	if len(args) > 0 && args[0] == "link" {
		args, measure = args[1:], calls.Main
	} else if len(args) > 0 && args[0] == "flows" {
		args, measure = args[1:], flows.Main
	} else if calls.Role(args) {
		measure = calls.Main
	}
	err := measure(ctx, args, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // the end of main
	}
}
