// Command fiso-link makes outbound calls safe: an application calls localhost,
// and fiso-link the world.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/lsm/fiso/link/cli"
)

func main() {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if terminal { // SIGHUP says that it was closed
		ends = append(ends, syscall.SIGHUP)
	} else { // or somebody asks for a reload, and files are followed anyway
		signal.Ignore(syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Main(ctx, os.Args[1:], cli.IO{
		Out: os.Stdout, Err: os.Stderr,
		Terminal:    terminal,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		Getenv:      os.Getenv,
	})
	stop()
	os.Exit(code)
}
