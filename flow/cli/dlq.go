package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/common/terminal"
	"github.com/lsm/fiso/flow/plan"
)

// maxGroups limits the groups that dlq list keeps. Further messages share one group for each code.
const maxGroups = 10_000

// others is the message of groups beyond maxGroups.
const others = "(further messages)"

func (a *app) dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "List dead letters, or show one",
		Long: `The dead letter queue holds the events that could not be delivered: each record as
it came, and why it failed. Both commands only read it, also while the flow runs.`,
		Args: command.UnknownCommand,
		RunE: func(*cobra.Command, []string) error { return command.Usagef("dlq needs a command: list or show") },
	}
	c.AddCommand(a.dlqListCommand(), a.dlqShowCommand())
	return c
}

// group is the dead letters with the same code and message.
type group struct {
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Example string    `json:"example"` // place of the last letter, for dlq show
}

func (a *app) dlqListCommand() *cobra.Command {
	var (
		file    string
		since   time.Duration
		limit   int
		timeout time.Duration
	)
	c := &cobra.Command{
		Use:   "list --flow FILE",
		Short: "List dead letters, grouped by error code and message",
		Long: `Lists the dead letters of a flow, grouped by error code and message, the largest
group first. EXAMPLE is the place of the newest dead letter of the group, for dlq
show. The code UNREAD counts records whose batch is too large to unpack, UNKNOWN
records that fiso-flow did not write.`,
		Example: `  fiso-flow dlq list --flow order-events.yaml
  fiso-flow dlq list --flow order-events.yaml --since 24h -o json`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			flow, err := oneFlow(file)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			var from time.Time
			if since > 0 {
				from = time.Now().Add(-since)
			}
			groups, total, err := groupLetters(ctx, flow, from)
			if err != nil {
				return err
			}
			if a.JSON() {
				return a.PrintJSON(map[string]any{"flow": flow.Name(), "deadLetters": total, "groups": groups})
			}
			a.printGroups(flow, groups, total, limit)
			return nil
		},
	}
	flowFlag(c, &file)
	c.Flags().DurationVar(&since, "since", 0, "only events that failed within this time, such as 24h (0: all)")
	c.Flags().IntVar(&limit, "limit", 20, "number of groups to print as text (0: all)")
	readTimeout(c, &timeout)
	return c
}

func readTimeout(c *cobra.Command, timeout *time.Duration) {
	c.Flags().DurationVar(timeout, "timeout", time.Minute, "time limit for reading the dead letter queue")
}

func groupLetters(ctx context.Context, flow *plan.Plan, since time.Time) ([]*group, int, error) {
	type key struct{ code, message string }
	var (
		groups = map[key]*group{}
		total  int
	)
	err := flow.ReadDeadLetters(ctx, since, func(s plan.StoredLetter) error {
		count := max(1, s.Unread)
		total += count
		k := key{"UNKNOWN", "not a dead letter of fiso-flow"}
		var at time.Time
		switch {
		case s.Unread > 0:
			k = key{"UNREAD", s.Err.Error()}
		case s.Err == nil:
			k, at = key{string(s.Letter.Code), s.Letter.Reason}, s.Letter.FailedAt
		}
		if groups[k] == nil && len(groups) >= maxGroups {
			k.message = others
		}
		g := groups[k]
		if g == nil {
			g = &group{Code: k.code, Message: k.message, First: at}
			groups[k] = g
		}
		g.Count += count
		if at.Before(g.First) {
			g.First = at
		}
		if !at.Before(g.Last) {
			g.Last, g.Example = at, s.Place
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	list := make([]*group, 0, len(groups))
	for _, g := range groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(x, y *group) int {
		if x.Count != y.Count {
			return y.Count - x.Count
		}
		return strings.Compare(x.Code+x.Message, y.Code+y.Message)
	})
	return list, total, nil
}

func (a *app) printGroups(flow *plan.Plan, groups []*group, total, limit int) {
	a.Printf("%s: %d dead letters in %s\n", flow.Name(), total, flow.DeadLetters())
	if total == 0 {
		return
	}
	t := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "COUNT\tCODE\tLAST\tEXAMPLE\tMESSAGE") // errors are ignored, as in Printf
	shown := groups
	if limit > 0 && len(groups) > limit {
		shown = groups[:limit]
	}
	for _, g := range shown {
		last := "-" // no letter of the group has a time
		if !g.Last.IsZero() {
			last = g.Last.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", g.Count, terminal.Line(g.Code), last, g.Example, terminal.Line(g.Message))
	}
	_ = t.Flush()
	if len(shown) < len(groups) {
		a.Printf("… and %d more groups (--limit 0 shows all)\n", len(groups)-len(shown))
	}
	a.Printf("\nshow one: fiso-flow dlq show --flow %s %s\n", flow.File, groups[0].Example)
}
