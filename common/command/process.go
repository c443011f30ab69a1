package command

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"
)

// Main calls run with the arguments and the IO of the process. It returns the exit
// code for os.Exit. ctx ends with SIGINT or SIGTERM; a second signal ends the process
// at once. If the process runs in a terminal, SIGHUP also ends ctx, because the
// terminal was closed. Otherwise SIGHUP is ignored: operators send it to ask for a
// reload, and files are followed anyway.
func Main(run func(ctx context.Context, args []string, io IO) int) int {
	io := IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: isatty.IsTerminal(os.Stderr.Fd()), OutTerminal: isatty.IsTerminal(os.Stdout.Fd()),
		Getenv: os.Getenv,
	}
	ctx, stop := signalContext(io.Terminal)
	defer stop()
	return run(ctx, os.Args[1:], io)
}

// signalContext returns a context that ends with the signals that Main names.
func signalContext(terminal bool) (context.Context, context.CancelFunc) {
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
