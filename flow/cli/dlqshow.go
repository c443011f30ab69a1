package cli

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/terminal"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/flow/plan"
)

// shownLetter is one dead letter in --output json.
type shownLetter struct {
	Place    string         `json:"place"`
	ID       string         `json:"id,omitempty"`
	Code     string         `json:"code"`
	Message  string         `json:"message"`
	Flow     string         `json:"flow"`
	Sink     string         `json:"sink,omitempty"`
	Part     *int           `json:"part,omitempty"` // number of the event, from 0, if the message became several
	FailedAt time.Time      `json:"failedAt"`
	Retries  int            `json:"retries"`
	Replays  int            `json:"replays"`
	Original map[string]any `json:"original"`
	Key      *content       `json:"key,omitempty"`
	Value    *content       `json:"value,omitempty"`
	Headers  []shownHeader  `json:"headers"`
	Fault    string         `json:"fault,omitempty"`
	Now      replayResult   `json:"now"`
}

// content is bytes: as text if they are valid UTF-8, else in base64.
type content struct {
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
}

type shownHeader struct {
	Name  string   `json:"name"`
	Value *content `json:"value"`
}

// replayResult says what would happen to the event now.
type replayResult struct {
	Verdict string          `json:"verdict"` // passes, filtered, unrouted or fails
	Event   json.RawMessage `json:"event,omitempty"`
	Events  []sentEvent     `json:"events,omitempty"` // see plan.Plan.SendsEventAlone
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
}

var errFound = errors.New("found")

func (a *app) dlqShowCommand() *cobra.Command {
	var (
		file    string
		timeout time.Duration
	)
	c := &cobra.Command{
		Use:   "show --flow FILE PLACE",
		Short: "Show one dead letter, and what the flow would do with it today",
		Long: `Shows one dead letter: the record as it came, why it failed, and what the flow
would do with it today: if a sink failed, with that sink alone, and with the part of
the record that failed. It sends nothing. PLACE is what dlq list prints under
EXAMPLE: partition:offset in a topic, or the line number in a file. Where the flow
has dead letters in several places, the topic or file goes before it.`,
		Example: `  fiso-flow dlq show --flow order-events.yaml 0:17
  fiso-flow dlq show --flow order-events.yaml fiso-dlq-order-events:0:17
  fiso-flow dlq show --flow order-events.yaml -o json 0:17`,
		Args: command.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			flow, err := oneFlow(file)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			found, err := findLetter(ctx, flow, args[0])
			if err != nil {
				return err
			}
			shown := a.show(c.Context(), flow, found)
			if a.JSON() {
				return a.PrintJSON(shown)
			}
			a.printLetter(shown)
			return nil
		},
	}
	flowFlag(c, &file)
	readTimeout(c, &timeout)
	return c
}

// findLetter returns the letter at a place. Without the topic or file, the place must be in only one
// of those of the flow.
func findLetter(ctx context.Context, flow *plan.Plan, place string) (plan.StoredLetter, error) {
	var found []plan.StoredLetter
	names := flow.DeadLetterPlaces()
	err := flow.ReadDeadLetters(ctx, time.Time{}, func(s plan.StoredLetter) error {
		at, named := strings.CutPrefix(place, s.In+":")
		isThere := at == s.At || s.Unread > 0 && isUnreadablePlace(at, s)
		if !isThere {
			return nil
		}
		found = append(found, s)
		if named || len(names) == 1 {
			return errFound
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errFound):
		return plan.StoredLetter{}, err
	case len(found) == 0:
		return plan.StoredLetter{}, fmt.Errorf("no dead letter at %s of %s: see 'fiso-flow dlq list' for the places there are", place, flow.DeadLetters())
	case len(found) > 1:
		var all []string
		for _, s := range found {
			all = append(all, s.In+":"+place)
		}
		return plan.StoredLetter{}, fmt.Errorf("%s is in several places: write %s", place, strings.Join(all, " or "))
	case found[0].Unread > 0:
		return plan.StoredLetter{}, found[0].Err
	}
	return found[0], nil
}

// isUnreadablePlace reports whether a position is in the range of records that could not be read.
func isUnreadablePlace(at string, s plan.StoredLetter) bool {
	var partition, offset, inPartition, from int
	if _, err := fmt.Sscanf(at, "%d:%d", &partition, &offset); err != nil {
		return false
	}
	_, err := fmt.Sscanf(s.At, "%d:%d", &inPartition, &from)
	return err == nil && partition == inPartition && offset >= from && offset < from+s.Unread
}

func (a *app) show(ctx context.Context, flow *plan.Plan, s plan.StoredLetter) shownLetter {
	shown := shownLetter{Place: placeOf(s, len(flow.DeadLetterPlaces()) > 1), Headers: []shownHeader{}}
	if s.Err != nil {
		shown.Fault = s.Err.Error()
	}
	l := s.Letter
	if l == nil {
		return shown
	}
	shown.Code, shown.Message, shown.Flow, shown.Sink = string(l.Code), l.Reason, l.Flow, l.Sink
	if part := l.Part - 1; part >= 0 {
		shown.Part = &part
	}
	shown.ID = l.Message.ID
	shown.FailedAt, shown.Retries, shown.Replays = l.FailedAt, l.Retries, l.Replays
	shown.Original = map[string]any{"topic": l.Message.Position.Stream}
	if l.Message.Position.Known() {
		shown.Original["partition"], shown.Original["offset"] = l.Message.Position.Partition, l.Message.Position.Offset
	}
	shown.Key, shown.Value = contentOf(l.Message.Key), contentOf(l.Message.Value)
	shown.Headers = append(shown.Headers, shownHeaders(l.Message.Headers)...)
	shown.Now = a.replay(ctx, flow, l)
	return shown
}

// replay processes the record with the current flow.
func (a *app) replay(ctx context.Context, flow *plan.Plan, l *deadletter.Letter) replayResult {
	all, err := flow.Replay(ctx, l)
	switch {
	case errors.Is(err, delivery.ErrUnrouted):
		return replayResult{Verdict: "unrouted"}
	case err != nil:
		p := a.Problems(err)[0]
		return replayResult{Verdict: "fails", Code: p.Code, Message: p.Message}
	case len(all) == 0:
		return replayResult{Verdict: "filtered"}
	}
	now := replayResult{Verdict: "passes"}
	if err := firstFailure(all); err != nil {
		now = replayResult{Verdict: "fails", Code: string(fault.CodeOf(err)), Message: err.Error()}
	}
	if !flow.SendsEventAlone() {
		if len(all) > 1 || all[0].Err == nil {
			now.Events = sentEvents(all)
		}
		return now
	}
	if all[0].Err != nil {
		return now
	}
	if shown, err := all[0].Event.AppendJSON(nil); err == nil {
		now.Event = shown // otherwise the sink takes bytes that are not JSON
	}
	return now
}

func shownHeaders(headers []connector.Header) []shownHeader {
	var all []shownHeader
	for _, h := range headers {
		all = append(all, shownHeader{h.Key, contentOf(h.Value)})
	}
	return all
}

func contentOf(b []byte) *content {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return &content{Text: string(b)}
	}
	return &content{Base64: base64.StdEncoding.EncodeToString(b)}
}

func (c *content) String() string {
	switch {
	case c == nil:
		return "(none)"
	case c.Base64 != "":
		return "base64 " + c.Base64
	}
	return c.Text
}

// indent indents all lines of text but the first, so that none of them looks like a row of the
// command.
func indent(text string, spaces int) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", spaces))
}

func (a *app) printLetter(l shownLetter) {
	row := a.printRow
	row("place", "%s", l.Place)
	if l.Fault != "" {
		row("damaged", "%s", strings.ReplaceAll(l.Fault, "\n", "; "))
	}
	row("code", "%s", l.Code)
	row("message", "%s", l.Message)
	if l.Sink != "" {
		row("sink", "%s", l.Sink)
	}
	if l.Part != nil {
		row("part", "%d: the event whose id ends with #%d", *l.Part, *l.Part)
	}
	row("failed at", "%s, after %d retries, in flow %s", l.FailedAt.Format(time.RFC3339), l.Retries, l.Flow)
	if partition, ok := l.Original["partition"]; ok {
		row("from", "%v, partition %v, offset %v", l.Original["topic"], partition, l.Original["offset"])
	} else {
		row("from", "%v", l.Original["topic"])
	}
	if l.ID != "" {
		row("id", "%s", l.ID)
	}
	row("key", "%v", l.Key)
	for _, h := range l.Headers {
		row("header", "%s: %v", h.Name, h.Value)
	}
	a.Printf("%-10s %s\n", "value", indent(l.Value.String(), 11))
	switch l.Now.Verdict {
	case "passes":
		if l.Now.Event != nil {
			row("today", "it would be sent: %s", l.Now.Event)
		}
		a.printSent(l.Now.Events)
	case "filtered":
		row("today", "the filter would leave it out")
	case "unrouted":
		row("today", "no sink would take it")
	case "fails":
		if len(l.Now.Events) == 0 {
			row("today", "it would fail again: %s: %s", l.Now.Code, l.Now.Message)
		}
		a.printSent(l.Now.Events)
	}
}

// printRow prints a row of dlq show.
func (a *app) printRow(name, format string, args ...any) {
	a.Printf("%-10s %s\n", name, terminal.Line(fmt.Sprintf(format, args...)))
}

// printSent prints what each of several sinks would get.
func (a *app) printSent(all []sentEvent) {
	for _, e := range all {
		if e.Code != "" {
			a.printRow("today", "it would fail again at %s: %s: %s", e.Sink, e.Code, e.Message)
			continue
		}
		a.printRow("today", "it would be sent to %s: %s", e.Sink, cmp.Or(string(e.Event), e.Message))
		if e.Key != nil {
			a.printRow("", "with the key %s", e.Key)
		}
		for _, h := range e.Headers {
			a.printRow("", "with the header %s: %s", h.Name, h.Value)
		}
	}
}
