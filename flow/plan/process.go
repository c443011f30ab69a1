package plan

import (
	"context"
	"fmt"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// Delivery is what one sink would get.
type Delivery struct {
	Sink    string
	Event   *cloudevent.Event
	Key     []byte             // of the record; nil: none, or the sink writes no records
	Headers []connector.Header // from eventHeaders
	Err     error              // why the sink would fail before it sends the event, with a code
}

// Process applies filter, transform, attributes, routing and the expressions of the sinks to one
// message, for commands: see transform.Transformer.Transform. It sends nothing.
func (p *Plan) Process(ctx context.Context, m *connector.Message) ([]Delivery, error) {
	return p.deliveries(ctx, func() ([]delivery.Routed, error) { return p.process.Transform(ctx, m, nil) })
}

// Replay is Process for the message of a dead letter. If a sink of this flow failed, only that sink
// gets only the part that failed.
func (p *Plan) Replay(ctx context.Context, l *deadletter.Letter) ([]Delivery, error) {
	if l.Sink == "" || l.Flow != p.Name() {
		return p.Process(ctx, l.Message)
	}
	return p.deliveries(ctx, func() ([]delivery.Routed, error) {
		return p.process.Replay(ctx, l.Message, deadletter.Replay{Sink: l.Sink, Part: l.Part}, nil)
	})
}

func (p *Plan) deliveries(ctx context.Context, transform func() ([]delivery.Routed, error)) (all []Delivery, err error) {
	err = p.Guard(func() error {
		routed, err := transform()
		if err != nil {
			return err
		}
		for _, r := range routed {
			d := p.outputs[r.Output].prepare(ctx, r.Event)
			if ctx.Err() != nil {
				return fmt.Errorf("prepare the event for sink %s: %w", d.Sink, ctx.Err())
			}
			all = append(all, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// prepare does what the sink does before it sends an event. An error without a code gets the code
// that the engine gives it.
func (o *output) prepare(ctx context.Context, e *cloudevent.Event) Delivery {
	d := Delivery{Sink: o.Name, Event: e}
	if err := e.CheckData(); err != nil && o.sink.writesJSON() {
		d.Err = fault.New(fault.DecodeFailed, err)
		return d
	}
	added, err := o.sink.additions(ctx, e)
	switch {
	case err == nil:
		d.Key, d.Headers = added.key, added.headers
	case fault.CodeOf(err) == "":
		d.Err = fault.New(fault.SinkRejected, err)
	default:
		d.Err = err
	}
	return d
}

// SendsEventAlone reports whether each message becomes at most one event, and the sink adds
// nothing to it that an expression makes.
func (p *Plan) SendsEventAlone() bool {
	return !p.hasManySinks() && p.Flow.Transform.Split.IsZero() && len(p.outputs[0].sink.expressions()) == 0
}
