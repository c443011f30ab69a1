// Package signals says which signals end a process.
package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context is a context that ends with SIGINT or SIGTERM; a second signal ends
// the process at once. SIGHUP ends the context where the process runs in a
// terminal: the terminal was closed. Elsewhere SIGHUP asks for a reload, and is
// ignored, since files are followed anyway.
func Context(terminal bool) (context.Context, context.CancelFunc) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if terminal {
		ends = append(ends, syscall.SIGHUP)
	} else {
		signal.Ignore(syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // the next signal has its default effect
	return ctx, stop
}
