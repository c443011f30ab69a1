package transform

import (
	"context"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
)

// route is an output, and the condition for its events.
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

// target returns the output whose dead letter was replayed, which alone takes
// the event, or -1. If that output is gone the event is routed like a new one.
// If its condition is no longer true, none is true if the other outputs had the
// event before: then no output takes it.
func (p *Transformer) target(ctx context.Context, e *cloudevent.Event, r *deadletter.Replay) (target int, none bool, err error) {
	for i := range p.routes {
		if p.routes[i].name != r.Sink {
			continue
		}
		takes, err := p.routes[i].takes(ctx, e)
		if err != nil || !takes {
			return -1, p.all, err
		}
		return i, false, nil
	}
	return -1, false, nil
}

// takes reports whether an output takes an event.
func (r *route) takes(ctx context.Context, e *cloudevent.Event) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	return r.when.holds(ctx, e)
}

// replayed returns the replay that a message is, or nil.
func (p *Transformer) replayed(m *connector.Message) *deadletter.Replay {
	if p.split == nil && len(p.routes) == 0 {
		return nil // it would change nothing
	}
	r, ok := deadletter.Replayed(m, p.flow)
	if !ok {
		return nil
	}
	replay := r // r itself would be allocated for every message
	return &replay
}

// route appends an event once for each output that takes it. part is as in
// delivery.Routed.
func (p *Transformer) route(ctx context.Context, replay *deadletter.Replay, e *cloudevent.Event, part int, into []delivery.Routed) ([]delivery.Routed, error) {
	if len(p.routes) == 0 {
		return append(into, delivery.Routed{Event: e, Part: part}), nil
	}
	if replay != nil {
		target, none, err := p.target(ctx, e, replay)
		if err != nil || none {
			return into, err
		}
		if target >= 0 {
			return append(into, delivery.Routed{Event: e, Output: target, Part: part}), nil
		}
	}
	for i := range p.routes {
		takes, err := p.routes[i].takes(ctx, e)
		if err != nil {
			return into, err
		}
		if !takes {
			continue
		}
		into = append(into, delivery.Routed{Event: e, Output: i, Part: part})
		if !p.all {
			break
		}
	}
	return into, nil
}
