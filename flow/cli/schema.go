package cli

import (
	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/plan"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a flow file, for editors",
		Long: `Prints the JSON Schema of a flow file, with which editors complete and check. For
the YAML language server, save it beside your flows and begin a flow file with:

  # yaml-language-server: $schema=flow.schema.json`,
		Example: `  fiso-flow schema > flow.schema.json`,
		Args:    command.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return a.PrintJSON(plan.Schema())
		},
	}
}
