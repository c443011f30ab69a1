// Command bench measures fiso-flow against the floor: the least that a Go
// program could spend on the same work. Run it from the top of the repository:
//
//	go run ./e2e/bench            # about eight minutes
//	go run ./e2e/bench --quick    # about two
//
// It starts itself again as the broker and as the floor, so that what each
// spends can be told apart.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lsm/fiso/e2e/bench/internal/rounds"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rounds.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // the end of main
	}
}
