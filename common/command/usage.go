package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is the error of a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usagef returns a usage error. Its exit code is ExitUsage.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Args makes the errors of an argument rule usage errors.
func Args(rule cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := rule(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// suggestDistance is the largest edit distance at which a command is suggested for an
// unknown one.
const suggestDistance = 2

// UnknownCommand is the argument rule of a command that has subcommands and takes no
// arguments: an argument is an unknown command.
func UnknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	of, hint := "", ""
	if c.HasParent() {
		of = " for " + c.Name()
	}
	c.SuggestionsMinimumDistance = suggestDistance
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %q?", near[0])
	}
	return Usagef("unknown command %q%s%s", args[0], of, hint)
}
