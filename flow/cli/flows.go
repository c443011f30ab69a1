package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/spec"
)

// defaultDir is the directory of flow files if neither argument nor environment names one.
const defaultDir = "/etc/fiso/flows"

// pathHelp explains the arguments of the commands that take paths.
const pathHelp = `A path is a flow file or a directory of flow files. The default is FISO_CONFIG_DIR,
else ` + defaultDir + `.`

// paths returns the paths from the arguments, else from the environment, else the default.
func (a *app) paths(args []string) []string {
	if len(args) > 0 {
		return args
	}
	if dir := a.Getenv("FISO_CONFIG_DIR"); dir != "" {
		return []string{dir}
	}
	return []string{defaultDir}
}

// flowFlag adds the flag --flow, which names one flow file.
func flowFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "flow", "f", "", "flow `file` (required)")
}

// oneFlow parses the flow file that --flow names.
func oneFlow(file string) (*plan.Plan, error) {
	if file == "" {
		return nil, command.Usagef("--flow is missing: name a flow file")
	}
	data, err := spec.Read(context.Background(), file)
	if err != nil {
		return nil, err
	}
	return plan.Parse(file, data)
}
