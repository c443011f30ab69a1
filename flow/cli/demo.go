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
		Short: "Show a flow at work between a Kafka broker and a service",
		Long: `Starts an embedded Kafka broker, a small order service, and fiso-flow between
them; produces orders, some of which cannot be delivered; lets the service fail
for a while; changes the flow while it runs; and ends with the totals. It fails
if an order was lost, delivered twice or out of order. It needs nothing installed
and leaves nothing behind.`,
		Example: `  fiso-flow demo
  fiso-flow demo --keep`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return demo.Run(c.Context(), demo.Options{
				Out: a.Out, Terminal: a.OutTerminal, Length: length, Keep: keep, Run: runFlows,
			})
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep everything running after the totals, until Ctrl-C")
	c.Flags().DurationVar(&length, "length", 15*time.Second, "how long to produce orders")
	return c
}
