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
		Short: "Test every target step by step, and say which step fails",
		Long: `Tests for each target whether its name resolves, whether it accepts connections
(TLS included), whether its credential is available, and whether it answers one
harmless request: OPTIONS, or the health check for gRPC. For targets that need
Kafka, it tests brokers, login, topics and group, and writes nothing. It sends
nothing else.`,
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
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "time limit for all tests")
	return c
}

// printSteps prints the result of each step. A server's answer is escaped, so that it
// cannot imitate a line of fiso-link.
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
		if err := a.PrintJSON(map[string]any{"ok": failed == 0, "steps": stepResults(steps)}); err != nil {
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

type stepResult struct {
	Target string `json:"target"`
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`
}

func stepResults(steps []server.Step) []stepResult {
	out := []stepResult{}
	for _, s := range steps {
		p := stepResult{Target: s.Target, Step: s.Name, OK: s.Err == nil}
		if s.Err != nil {
			p.Error = s.Err.Error()
		}
		out = append(out, p)
	}
	return out
}
