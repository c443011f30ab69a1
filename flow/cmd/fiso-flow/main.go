// Command fiso-flow brings events in, reshapes them, and delivers them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/lsm/fiso/flow/cli"
)

func main() {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if terminal { // SIGHUP says that the terminal was closed
		ends = append(ends, syscall.SIGHUP)
	} else { // SIGHUP asks for a reload, and files are followed anyway
		signal.Ignore(syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Main(ctx, os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:    terminal,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		Getenv:      os.Getenv,
	})
	stop()
	os.Exit(code)
}
