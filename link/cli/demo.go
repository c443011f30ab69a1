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
		Short: "Show fiso-link at work between an application and a failing service",
		Long: `Starts a small service that fails as real services do, with fiso-link in front
of it, makes calls, and shows live what happens to them: tokens expire and are
renewed, a circuit opens and closes, calls are retried, rate-limited and refused,
and a stream survives a reload. It ends with the totals, and fails if a promise
was broken. It needs nothing installed and leaves nothing behind.`,
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
	c.Flags().BoolVar(&keep, "keep", false, "keep everything running after the totals, until Ctrl-C")
	c.Flags().DurationVar(&length, "length", 16*time.Second, "how long to make calls")
	return c
}
