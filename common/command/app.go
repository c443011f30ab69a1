package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/terminal"
)

// Exit codes of every command.
const (
	ExitGood   = 0
	ExitFailed = 1
	ExitUsage  = 2 // the command line cannot be understood
)

// IO is the input, the output and the environment of a command.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal reports whether Err is a terminal. Logs are then lines for a person,
	// and JSON otherwise. OutTerminal is the same for Out.
	Terminal, OutTerminal bool
	// Getenv returns the value of an environment variable.
	Getenv func(string) string
}

// App runs one command line. IO and Name are required.
type App struct {
	IO
	Name string // of the program
	// Code returns the stable code of an error that is not about a configuration file,
	// or "". It may be nil.
	Code func(error) string

	output string // text | json
}

// JSON reports whether to print the result as JSON (--output json). A command then
// prints one document.
func (a *App) JSON() bool { return a.output == "json" }

// Execute runs a command line and returns the exit code. It adds the flag --output
// to root. Without the name of a command it runs the command run, which is one of
// root's.
func (a *App) Execute(ctx context.Context, args []string, root, run *cobra.Command) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "`format` of the result: text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "text" && a.output != "json" {
			return Usagef("--output is %q: write text or json", a.output)
		}
		return nil
	}
	root.Args, root.RunE = UnknownCommand, run.RunE
	root.Flags().AddFlagSet(run.Flags())
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	return a.exitCode(root.ExecuteContext(ctx))
}

// exitCode prints an error and returns its exit code.
func (a *App) exitCode(err error) int {
	if err == nil {
		return ExitGood
	}
	if errors.Is(err, ErrReported) {
		return ExitFailed
	}
	if _, ok := errors.AsType[usageError](err); ok {
		a.Errorf("%s: %v\nTry '%s --help'.\n", a.Name, err, a.Name)
		return ExitUsage
	}
	a.reportError(err)
	return ExitFailed
}

// Printf prints the result for a person. Foreign text in it cannot control the
// terminal. It ignores write errors, such as a closed pipe.
func (a *App) Printf(format string, args ...any) { printText(a.Out, format, args) }

// Errorf is Printf on standard error.
func (a *App) Errorf(format string, args ...any) { printText(a.Err, format, args) }

func printText(w io.Writer, format string, args []any) {
	_, _ = io.WriteString(w, terminal.Text(fmt.Sprintf(format, args...)))
}

// PrintJSON prints one value as indented JSON.
func (a *App) PrintJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print the result as JSON: %w", err)
	}
	return nil
}
