package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/flow/plan"
)

// maxInput limits the size of the input event.
const maxInput = 64 << 20

func (a *app) transformCommand() *cobra.Command {
	var (
		file, input, key string
		headers          []string
	)
	c := &cobra.Command{
		Use:   "transform --flow FILE --input EVENT",
		Short: "Transform one event, and print what would be sent",
		Long: `Applies the filter and the transform of a flow to one event, and prints the
CloudEvent that the sink would get. For a flow with transform.split, several sinks,
eventHeaders or a key expression it prints a list: each CloudEvent with its sink,
the headers from eventHeaders and the key of the Kafka record. It connects to
nothing and sends nothing.

It fails if one of the events would become a dead letter, and prints why.`,
		Example: `  fiso-flow transform --flow order-events.yaml --input '{"legacy_id": "A-1", "order_status": "PAID"}'
  fiso-flow transform --flow order-events.yaml --input @order.json
  kcat -C -t orders -c 1 | fiso-flow transform --flow order-events.yaml --input -`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("input") {
				return command.Usagef("--input is missing: give the event as JSON, @file, or - for standard input")
			}
			flow, err := oneFlow(file)
			if err != nil {
				return err
			}
			value, err := a.readInput(input)
			if err != nil {
				return err
			}
			m := &connector.Message{Value: value, Time: time.Now(), Position: connector.PartitionOffset("input", 0, 0)}
			if key != "" {
				m.Key = []byte(key)
			}
			for _, h := range headers {
				name, text, ok := strings.Cut(h, "=")
				if !ok {
					return command.Usagef("--header is %q: write name=value", h)
				}
				m.Headers = append(m.Headers, connector.Header{Key: name, Value: []byte(text)})
			}
			all, err := flow.Process(c.Context(), m)
			switch {
			case errors.Is(err, delivery.ErrUnrouted):
				return a.notSent("unrouted", "unrouted: no sink takes the event; it is acknowledged, counted and not sent")
			case err != nil:
				return a.printFailure(err)
			case len(all) == 0:
				return a.notSent("filtered", "filtered: the event is acknowledged, counted and not sent")
			}
			return a.printDeliveries(flow, all)
		},
	}
	flowFlag(c, &file)
	c.Flags().StringVarP(&input, "input", "i", "", "the `event`: JSON, @file, or - for standard input (required)")
	c.Flags().StringVar(&key, "key", "", "`key` of the record")
	c.Flags().StringArrayVar(&headers, "header", nil, "header of the record, as `name=value`; may be repeated")
	return c
}

func (a *app) readInput(input string) ([]byte, error) {
	switch {
	case input == "-":
		data, err := io.ReadAll(io.LimitReader(a.In, maxInput))
		if err != nil {
			return nil, fmt.Errorf("read the event from standard input: %w", err)
		}
		return data, nil
	case strings.HasPrefix(input, "@"):
		data, err := os.ReadFile(input[1:])
		if err != nil {
			return nil, fmt.Errorf("read the event: %w", err)
		}
		return data, nil
	}
	return []byte(input), nil
}

// printFailure prints why the event would become a dead letter.
func (a *app) printFailure(err error) error {
	if a.JSON() {
		if err := a.PrintJSON(map[string]any{"ok": false, "errors": a.Problems(err)}); err != nil {
			return err
		}
		return command.ErrReported
	}
	a.Errorf("dead letter %s: %v\n", a.Problems(err)[0].Code, err)
	return command.ErrReported
}

// printUnshowable handles an event that the sink sends byte for byte and that is not valid JSON,
// so that it cannot be shown as JSON.
func (a *app) printUnshowable(err error) error {
	if a.JSON() {
		return a.PrintJSON(map[string]any{"ok": true, "message": err.Error()})
	}
	a.Errorf("the event would be sent byte for byte, but cannot be shown as JSON: %v\n", err)
	return nil
}

func (a *app) notSent(status, text string) error {
	if a.JSON() {
		return a.PrintJSON(map[string]any{"ok": true, status: true})
	}
	a.Errorf("%s\n", text)
	return nil
}

// sentEvent is one of several events in the output.
type sentEvent struct {
	Sink    string          `json:"sink"`
	Event   json.RawMessage `json:"event,omitempty"`
	Key     *content        `json:"key,omitempty"`     // of the record in Kafka
	Headers []shownHeader   `json:"headers,omitempty"` // from eventHeaders
	Code    string          `json:"code,omitempty"`    // if the event becomes a dead letter
	Message string          `json:"message,omitempty"` // why it does, or why it is not shown
}

// printDeliveries prints the event, or a list of events: see plan.Plan.SendsEventAlone.
func (a *app) printDeliveries(flow *plan.Plan, all []plan.Delivery) error {
	if flow.SendsEventAlone() {
		if all[0].Err != nil {
			return a.printFailure(all[0].Err)
		}
		shown, err := all[0].Event.AppendJSON(nil)
		if err != nil {
			return a.printUnshowable(err)
		}
		return a.printRaw(shown)
	}
	list := sentEvents(all)
	doc, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("print the events: %w", err)
	}
	if err := a.printRaw(doc); err != nil {
		return err
	}
	var failed error
	for _, e := range list {
		if e.Code == "" {
			continue
		}
		failed = command.ErrReported
		if !a.JSON() {
			a.Errorf("dead letter %s: sink %s: %s\n", e.Code, e.Sink, e.Message)
		}
	}
	return failed
}

func sentEvents(all []plan.Delivery) []sentEvent {
	list := make([]sentEvent, 0, len(all))
	for _, d := range all {
		if d.Err != nil {
			list = append(list, sentEvent{Sink: d.Sink, Code: string(fault.CodeOf(d.Err)), Message: d.Err.Error()})
			continue
		}
		sent := sentEvent{Sink: d.Sink, Key: contentOf(d.Key), Headers: shownHeaders(d.Headers)}
		shown, err := d.Event.AppendJSON(nil)
		if err != nil {
			sent.Message = err.Error()
		} else {
			sent.Event = shown
		}
		list = append(list, sent)
	}
	return list
}

// printRaw prints a JSON document indented, without changing its numbers. JSON strings may hold
// non-ASCII control characters that some terminals execute: on a terminal they are escaped, in a
// file or pipe they are kept.
func (a *app) printRaw(doc []byte) error {
	if a.JSON() || !a.OutTerminal {
		return a.PrintJSON(json.RawMessage(doc))
	}
	var text bytes.Buffer
	if err := json.Indent(&text, doc, "", "  "); err != nil {
		return fmt.Errorf("print the event: %w", err)
	}
	a.Printf("%s\n", text.Bytes())
	return nil
}
