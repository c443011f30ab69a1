// Command fiso-flow brings events in, reshapes them, and delivers them.
package main

import (
	"os"

	"golang.org/x/term"

	"github.com/lsm/fiso/common/signals"
	"github.com/lsm/fiso/flow/cli"
)

func main() {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	ctx, stop := signals.Context(terminal)
	code := cli.Main(ctx, os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:    terminal,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		Getenv:      os.Getenv,
	})
	stop()
	os.Exit(code)
}
