package transform

import (
	"context"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
)

// route is an output, and which events it takes.
type route struct {
	name string
	when *Expression // nil: it takes every event
}

// routes compiles the conditions of the outputs.
func (c *compiler) routes(all []Route) []route {
	var out []route
	for _, r := range all {
		compiled := route{name: r.Name}
		if !r.When.IsZero() {
			compiled.when = c.onFinished(r.Key, r.When, wantBool)
		}
		out = append(out, compiled)
	}
	return out
}

// route appends an event once for each output that takes it. A dead letter that
// is replayed goes to the output that failed, and to no other.
func (p *Transformer) route(ctx context.Context, m *connector.Message, e *cloudevent.Event, part int, into []delivery.Routed) ([]delivery.Routed, error) {
	if len(p.routes) == 0 {
		return append(into, delivery.Routed{Event: e, Part: part}), nil
	}
	failed, replayed := deadletter.Replayed(m)
	for i, r := range p.routes {
		if replayed && failed != r.name {
			continue
		}
		if r.when != nil {
			takes, err := r.when.holds(ctx, e)
			if err != nil {
				return into, err
			}
			if !takes {
				continue
			}
		}
		into = append(into, delivery.Routed{Event: e, Output: i, Part: part})
		if !p.all {
			break
		}
	}
	return into, nil
}
