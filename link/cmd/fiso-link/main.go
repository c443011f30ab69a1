// Command fiso-link makes outbound calls safe: an application calls localhost,
// and fiso-link the world.
package main

import (
	"os"

	"golang.org/x/term"

	"github.com/lsm/fiso/common/signals"
	"github.com/lsm/fiso/link/cli"
)

func main() {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	ctx, stop := signals.Context(terminal)
	code := cli.Main(ctx, os.Args[1:], cli.IO{
		Out: os.Stdout, Err: os.Stderr,
		Terminal:    terminal,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		Getenv:      os.Getenv,
	})
	stop()
	os.Exit(code)
}
