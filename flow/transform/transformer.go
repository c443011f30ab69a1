package transform

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
)

// Transformer turns messages into events. It is immutable and safe for
// concurrent use.
type Transformer struct {
	flow       string
	source     string
	filter     *expression // nil: every message passes
	attributes []attribute
	output     *template   // nil: the payload is passed on unchanged
	split      *expression // nil: a message becomes one event
	customID   bool        // cloudevents.id is set
	routes     []route     // empty: one output takes everything
	all        bool
	timeout    time.Duration
	limit      int
	pool       sync.Pool // of *vars
}

// New compiles a flow's expressions. It returns all faults as config.Errors,
// with their places in the file.
func New(cfg Config) (*Transformer, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	p := &Transformer{flow: cfg.Flow, source: cfg.Source, timeout: cfg.Timeout, limit: cfg.MaxOutputBytes}
	p.pool.New = func() any { return new(vars) }
	if p.source == "" {
		p.source = "fiso-flow/" + cfg.Flow
	}
	if p.timeout <= 0 {
		p.timeout = defaultTimeout
	}
	if p.limit <= 0 {
		p.limit = defaultMaxOutputBytes
	}
	if !cfg.Filter.IsZero() {
		p.filter = c.expression("filter", cfg.Filter, wantBool)
	}
	if !cfg.Split.IsZero() {
		p.split = c.expression("transform.split", cfg.Split, wantList)
	}
	c.splits = p.split != nil
	p.attributes, p.customID = c.attributes(&cfg), !cfg.ID.IsZero()
	switch {
	case !cfg.CEL.IsZero() && len(cfg.Fields) > 0:
		c.fault("transform.cel", cfg.CEL, 1, 1, "transform has both cel and fields", "keep one of the two")
	case !cfg.CEL.IsZero():
		p.output = c.template("transform.cel", cfg.CEL)
	case len(cfg.Fields) > 0:
		p.output = c.fields("transform.fields", cfg.Fields)
	}
	c.splits = false
	p.routes, p.all = c.routes(cfg.Routes), cfg.All
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return p, nil
}

// Transform appends the events of a message, once for each output that takes
// them: see delivery.Transformer. It appends nothing if the filter refuses the
// message, or if transform.split has no elements. Errors have a code
// (fault.CodeOf), except connector.ErrInterrupted, which is returned if ctx
// ended. Events without a transform share m's bytes.
func (p *Transformer) Transform(ctx context.Context, m *connector.Message, into []delivery.Routed) ([]delivery.Routed, error) {
	return p.transformReplay(ctx, m, p.replayed(m), into)
}

// Replay is Transform for a message whose replay is r; its headers and position are
// not asked.
func (p *Transformer) Replay(ctx context.Context, m *connector.Message, r deadletter.Replay, into []delivery.Routed) ([]delivery.Routed, error) {
	return p.transformReplay(ctx, m, &r, into)
}

func (p *Transformer) transformReplay(ctx context.Context, m *connector.Message, replay *deadletter.Replay, into []delivery.Routed) ([]delivery.Routed, error) {
	v := p.pool.Get().(*vars)
	v.ctx, v.timeout = ctx, p.timeout
	into, err := p.transform(v, m, replay, into)
	v.release()
	p.pool.Put(v)
	return into, err
}

func (p *Transformer) transform(v *vars, m *connector.Message, replay *deadletter.Replay, into []delivery.Routed) ([]delivery.Routed, error) {
	pass, err := p.read(v, m)
	if err != nil || !pass {
		return into, err
	}
	before, made := len(into), 1
	if p.split != nil {
		into, made, err = p.parts(v, replay, into)
	} else {
		var e *cloudevent.Event
		if e, err = p.write(v); err == nil {
			into, err = p.route(v.ctx, replay, e, 0, into)
		}
	}
	if err == nil && made > 0 && len(into) == before {
		err = delivery.ErrUnrouted
	}
	return into, err
}

// read reads the event of a message and evaluates the filter.
func (p *Transformer) read(v *vars, m *connector.Message) (pass bool, err error) {
	payload, err := p.incoming(v, m)
	if err != nil {
		return false, err
	}
	if v.payload = payload; len(payload) == 0 && !v.idPending {
		v.payload = nil // a CloudEvent with no bytes of data has none
	}
	if p.filter != nil {
		if pass, err := p.filter.bool(v); err != nil || !pass {
			return false, err
		}
	}
	v.makeIDAndSubject()
	return true, nil
}

// write makes the outgoing event.
func (p *Transformer) write(v *vars) (*cloudevent.Event, error) {
	m := v.message
	out, err := p.begin(v)
	if err != nil {
		return nil, err
	}
	if err := p.fill(v, out); err != nil {
		return nil, err
	}
	out.Key = m.Key
	holds := len(m.Key) + len(m.Value)
	if p.output != nil {
		holds += out.Data.Len() // otherwise data is the record's value
	}
	return v.keepEvent(out, holds), nil
}

// begin makes the outgoing event without its data. Without expressions for
// attributes it is the incoming event itself: an event is large, and a copy
// costs time.
func (p *Transformer) begin(v *vars) (*cloudevent.Event, error) {
	if p.output != nil {
		v.event.DataSchema = "" // it describes the incoming data; no expression sees it
	}
	if len(p.attributes) == 0 {
		return &v.event, nil
	}
	out := &v.outgoing
	out.Event, out.own, out.used = v.event, false, true
	for i := range p.attributes {
		if err := p.attributes[i].apply(v, out); err != nil {
			return nil, err
		}
	}
	return &out.Event, nil
}

// fill sets the data of the outgoing event.
func (p *Transformer) fill(v *vars, e *cloudevent.Event) (err error) {
	if p.output == nil {
		if v.plain && e.DataContentType == "" {
			declare(e, &v.doc)
		}
		return nil
	}
	if v.out, err = p.output.write(v.out[:0], v, p.limit); err != nil {
		return err
	}
	e.Data = cloudevent.Bytes(v.keep(v.out))
	e.DataContentType = "application/json"
	return nil
}

// outgoing is the event being made. The incoming event, which the expressions
// see, does not change.
type outgoing struct {
	cloudevent.Event
	own  bool // Extensions is a copy, and no longer shared with the incoming event
	used bool // to be cleared before the next event
}

func (o *outgoing) setExtension(name, value string) {
	if !o.own {
		o.Extensions, o.own = slices.Clone(o.Extensions), true
	}
	if value == "" {
		o.Extensions = slices.DeleteFunc(o.Extensions, func(x cloudevent.Extension) bool { return x.Name == name })
		return
	}
	o.SetExtension(name, value)
}

// apply evaluates the expression of an attribute and sets it. Null removes an
// optional attribute.
func (a *attribute) apply(v *vars, o *outgoing) error {
	value, ok, err := a.text(v)
	if err != nil {
		return err
	}
	if a.required && value == "" {
		if !ok {
			return a.failed("it returned null, but the attribute is required")
		}
		return a.failed("it returned an empty text, but the attribute is required")
	}
	a.set(o, value)
	return nil
}
