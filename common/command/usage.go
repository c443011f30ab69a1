package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usagef is an error for a command line that cannot be understood: ExitUsage.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Args makes a usage error of arguments that break the rule.
func Args(rule cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := rule(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// suggestDistance is how many letters of an unknown command may differ from one
// that there is.
const suggestDistance = 2

// UnknownCommand is the rule for a command that has commands of its own and takes
// no arguments: an argument is a command that there is not.
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
