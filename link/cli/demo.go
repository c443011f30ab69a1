package cli

import (
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/link/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var (
		keep   bool
		length time.Duration
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a service that fails, and an application that hardly notices",
		Long: `Starts a small service that fails in the ways that services do, and fiso-link
before it; makes calls; and shows live what becomes of them: tokens that end and
are renewed, a circuit that opens and closes, retries, a rate limit, paths that
are refused, a stream that a reload does not cut. It ends with the totals, and
fails if a promise was broken. It needs nothing installed and leaves nothing.`,
		Example: `  fiso-link demo
  fiso-link demo --keep`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o := demo.Options{Out: a.Out, Terminal: a.OutTerminal, Length: length, Keep: keep}
			if a.JSON() {
				o.Out, o.Terminal, o.Keep = io.Discard, false, false
			}
			sum, err := demo.Run(c.Context(), o)
			if !a.JSON() || err != nil && !errors.Is(err, demo.ErrBroken) {
				return err
			}
			if printed := a.PrintJSON(sum); printed != nil || err == nil {
				return printed
			}
			return command.ErrReported // the totals say which promise was broken
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave everything running after the totals, until Ctrl-C")
	c.Flags().DurationVar(&length, "length", 16*time.Second, "how long calls are made")
	return c
}
