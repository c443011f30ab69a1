package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var (
		keep   bool
		length time.Duration
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "See the main job: a broker, a service and a flow, live",
		Long: `Starts an embedded Kafka broker, a small order service, and fiso-flow between
them; produces orders, some of which cannot be delivered; takes the service
away for a while; changes the flow while it runs; and ends with the totals that
prove that nothing was lost. It needs nothing installed and leaves nothing.`,
		Example: `  fiso-flow demo
  fiso-flow demo --keep`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return demo.Run(c.Context(), demo.Options{
				Out: a.Out, Terminal: a.OutTerminal, Length: length, Keep: keep, Run: runFlows,
			})
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave everything running after the totals, until Ctrl-C")
	c.Flags().DurationVar(&length, "length", 15*time.Second, "how long orders are produced")
	return c
}
