// Command bench compares fiso-flow with the floor, the minimal Go program for the same work, and
// fiso-link with nginx and other proxies. Run it in the top directory of the repository:
//
//	go run ./e2e/bench            # fiso-flow, about eight minutes
//	go run ./e2e/bench link       # fiso-link, about eight minutes
//	go run ./e2e/bench --quick    # either of them, about two minutes
//	go run ./e2e/bench flows      # 1 to 1,000 idle flows in a process, about six minutes
//
// It starts itself again as the broker, the floor and other roles, so that the CPU time of each
// can be measured separately.
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
		os.Exit(1) //nolint:forbidigo // end of main
	}
}
