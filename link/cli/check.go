package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/common/terminal"
	"github.com/lsm/fiso/link/internal/server"
)

func (a *app) checkCommand() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check [file]",
		Short: "Try every target step by step, and say which step fails",
		Long: `Tries, for each target: whether its name has an address, whether it can be
connected to, TLS included, whether its credential can be had, and one request
that is safe: OPTIONS, or of gRPC the health check. Of targets that need Kafka,
it tries brokers, login, topics and group, and writes nothing. Nothing else is
sent.`,
		Example: `  fiso-link check config.yaml
  fiso-link check --timeout 5s -o json config.yaml`,
		Args: command.Args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.read(a.file(args))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			steps, err := server.Check(ctx, cfg)
			if err != nil {
				return err
			}
			return a.printSteps(steps)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "longest time for all of it")
	return c
}

// printSteps prints what was tried. What a server answered passes for no line of
// ours.
func (a *app) printSteps(steps []server.Step) error {
	failed := 0
	for _, s := range steps {
		mark, why := "ok", ""
		if s.Err != nil {
			failed++
			mark, why = "FAILED", ": "+s.Err.Error()
		}
		if !a.JSON() {
			a.Printf("%-6s %-20s %s\n", mark, s.Target, terminal.Line(s.Name+why))
		}
	}
	if a.JSON() {
		if err := a.PrintJSON(map[string]any{"ok": failed == 0, "steps": printable(steps)}); err != nil {
			return err
		}
	} else if failed > 0 {
		a.Errorf("%s: %d step(s) failed\n", a.Name, failed)
	}
	if failed > 0 {
		return command.ErrReported
	}
	return nil
}

type printed struct {
	Target string `json:"target"`
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`
}

func printable(steps []server.Step) []printed {
	out := []printed{}
	for _, s := range steps {
		p := printed{Target: s.Target, Step: s.Name, OK: s.Err == nil}
		if s.Err != nil {
			p.Error = s.Err.Error()
		}
		out = append(out, p)
	}
	return out
}
