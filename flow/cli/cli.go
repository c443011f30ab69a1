package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/terminal"
)

// Exit codes of the contract, section 3.7.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// IO is the outside of a command: where it reads and writes, and the
// environment it sees.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal reports whether Err is one; logs are then readable lines, and
	// JSON otherwise. OutTerminal is the same for Out.
	Terminal, OutTerminal bool
	// Getenv reads one variable of the environment.
	Getenv func(string) string
}

// app is one call of the command line.
type app struct {
	IO
	output string // text | json
}

// errReported is a failure whose words were printed already.
var errReported = errors.New("failed")

// usageError is a call that cannot be understood: exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// Main runs one command line and returns the exit code. It returns when the
// command has ended; run and demo end when ctx does.
func Main(ctx context.Context, args []string, io IO) int {
	a := &app{IO: io}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(io.In)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &usage):
		a.errorf("fiso-flow: %v\nTry 'fiso-flow --help'.\n", err)
		return exitUsage
	default:
		a.reportError(err)
		return exitFailed
	}
}

// printf and errorf write to the person. A reader that went away (a closed
// pipe) is no failure of the command.
func (a *app) printf(format string, args ...any) { say(a.Out, format, args...) }
func (a *app) errorf(format string, args ...any) { say(a.Err, format, args...) }

// say prints for a person, and what strangers wrote steers no terminal.
func say(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, terminal.Text(fmt.Sprintf(format, args...)))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fiso-flow",
		Short: "Bring events in, reshape them, deliver them, lose none",
		Long: `fiso-flow consumes Kafka or HTTP, reshapes each event with CEL, wraps it as a
CloudEvent and delivers it. What cannot be delivered goes to a dead letter
queue with the reason. One YAML file is one flow; a directory of them is an
instance. Without a command, fiso-flow runs.`,
		Example: `  fiso-flow init > order-events.yaml
  fiso-flow validate --explain order-events.yaml
  fiso-flow run order-events.yaml`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "how to print the result: text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "text" && a.output != "json" {
			return usagef("--output is %q: write text or json", a.output)
		}
		return nil
	}
	run := a.runCommand()
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q", args[0])
		}
		return nil
	}
	root.RunE = run.RunE
	root.Flags().AddFlagSet(run.Flags())
	root.AddCommand(
		run, a.demoCommand(), a.initCommand(), a.validateCommand(), a.checkCommand(), a.testCommand(),
		a.transformCommand(), a.dlqCommand(), a.schemaCommand(), a.versionCommand(),
	)
	return root
}

// args wraps a cobra argument rule so that breaking it is a usage error.
func arguments(rule cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := rule(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
