package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/delivery/fault"
)

// Version is set by the release build (-ldflags -X). If it is empty, the version that the go
// command recorded is shown.
var Version = ""

// app is one invocation of the command line.
type app struct{ command.App }

func newApp(io command.IO) *app {
	return &app{command.App{IO: io, Name: "fiso-flow", Code: func(err error) string { return string(fault.CodeOf(err)) }}}
}

// Main runs one command line and returns the exit code. The commands run and demo end when ctx
// ends.
func Main(ctx context.Context, args []string, io command.IO) int {
	a := newApp(io)
	root, run := a.root()
	return a.Execute(ctx, args, root, run)
}

// explainHint answers the command explain, which users look for: it is a flag of validate.
func explainHint() *cobra.Command {
	return &cobra.Command{
		Use: "explain", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return command.Usagef(`unknown command "explain"; did you mean: validate --explain`)
		},
	}
}

// root returns the root command, and the command that runs if none is named.
func (a *app) root() (root, run *cobra.Command) {
	root = &cobra.Command{
		Use:   a.Name,
		Short: "Bring events in, reshape them, deliver them, lose none",
		Long: `fiso-flow reads events from Kafka or HTTP, reshapes each one with CEL, wraps it
as a CloudEvent and delivers it to HTTP or Kafka. An event that cannot be
delivered goes to a dead letter queue with the reason. One YAML file is one flow;
fiso-flow runs one file or a directory of them. run is the default command.

Exit codes: 0 success, 1 failure, 2 a command line that cannot be understood.`,
		Example: `  fiso-flow init > order-events.yaml
  fiso-flow validate --explain order-events.yaml
  fiso-flow run order-events.yaml`,
	}
	run = a.runCommand()
	root.AddCommand(
		run, a.demoCommand(), a.initCommand(), a.validateCommand(), a.checkCommand(), a.testCommand(),
		a.transformCommand(), a.dlqCommand(), a.schemaCommand(), a.VersionCommand(Version), explainHint(),
	)
	return root, run
}
