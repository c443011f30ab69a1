package cli

import (
	"cmp"
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

// group is the dead letters with the same code and message, of one sink and in one place.
type group struct {
	Place   string    `json:"place"`          // topic or file
	Sink    string    `json:"sink,omitempty"` // the sink that failed; "" if the transform did
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
		Long: `Lists the dead letters of a flow, grouped by sink, error code and message, the
largest group first. EXAMPLE is where the newest dead letter of the group is, for
dlq show: partition:offset or the line number, with the topic or file before it if
the flow has dead letters in several places. The code UNREAD counts records whose batch is too large to unpack, UNKNOWN
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
	type key struct{ place, sink, code, message string }
	several := len(flow.DeadLetterPlaces()) > 1
	var (
		groups = map[key]*group{}
		total  int
	)
	err := flow.ReadDeadLetters(ctx, since, func(s plan.StoredLetter) error {
		count := max(1, s.Unread)
		total += count
		k := key{s.In, "", "UNKNOWN", "not a dead letter of fiso-flow"}
		var at time.Time
		switch {
		case s.Unread > 0:
			k.code, k.message = "UNREAD", s.Err.Error()
		case s.Err == nil:
			k, at = key{s.In, s.Letter.Sink, string(s.Letter.Code), s.Letter.Reason}, s.Letter.FailedAt
		}
		if groups[k] == nil && len(groups) >= maxGroups {
			k.message = others
		}
		g := groups[k]
		if g == nil {
			g = &group{Place: k.place, Sink: k.sink, Code: k.code, Message: k.message, First: at}
			groups[k] = g
		}
		g.Count += count
		if at.Before(g.First) {
			g.First = at
		}
		if !at.Before(g.Last) {
			g.Last, g.Example = at, placeOf(s, several)
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
		return cmp.Or(strings.Compare(x.Code, y.Code), strings.Compare(x.Message, y.Message),
			strings.Compare(x.Sink, y.Sink), strings.Compare(x.Place, y.Place))
	})
	return list, total, nil
}

// placeOf returns where a letter is, for the argument of dlq show: with the topic or file if the
// flow has several.
func placeOf(s plan.StoredLetter, several bool) string {
	if several {
		return s.In + ":" + s.At
	}
	return s.At
}

func (a *app) printGroups(flow *plan.Plan, groups []*group, total, limit int) {
	a.Printf("%s: %d dead letters in %s\n", flow.Name(), total, flow.DeadLetters())
	if total == 0 {
		return
	}
	t := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "COUNT\tCODE\tSINK\tLAST\tEXAMPLE\tMESSAGE") // errors are ignored, as in Printf
	shown := groups
	if limit > 0 && len(groups) > limit {
		shown = groups[:limit]
	}
	for _, g := range shown {
		last := "-" // no letter of the group has a time
		if !g.Last.IsZero() {
			last = g.Last.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n",
			g.Count, terminal.Line(g.Code), terminal.Line(cmp.Or(g.Sink, "-")), last, terminal.Line(g.Example), terminal.Line(g.Message))
	}
	_ = t.Flush()
	if len(shown) < len(groups) {
		a.Printf("… and %d more groups (--limit 0 shows all)\n", len(groups)-len(shown))
	}
	a.Printf("\nshow one: fiso-flow dlq show --flow %s %s\n", flow.File, groups[0].Example)
}
