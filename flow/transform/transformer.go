package transform

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
)

// Transformer turns messages into events. It is made by New, never changes, and
// is safe for concurrent use.
type Transformer struct {
	flow       string
	source     string
	filter     *expression // nil: everything passes
	attributes []attribute
	output     *template   // nil: the payload passes as it is
	split      *expression // nil: a message becomes one event
	ownID      bool        // an expression makes the id
	routes     []route     // none: one output takes everything
	all        bool
	timeout    time.Duration
	limit      int
	pool       sync.Pool // of *vars
}

// New compiles a flow's expressions. What is wrong with them is returned as
// config.Errors, all of it, with its places in the file.
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
	p.attributes, p.ownID = c.attributes(&cfg), !cfg.ID.IsZero()
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

// Transform appends the events that a message becomes, once for each output that
// takes them: see delivery.Transformer. It appends nothing where the filter says
// that the message is not for this flow, and where transform.split gives no event.
// Errors have a code (fault.CodeOf), except for connector.ErrInterrupted when ctx
// ended first. Events hold on to m's bytes, where they are not transformed.
func (p *Transformer) Transform(ctx context.Context, m *connector.Message, into []delivery.Routed) ([]delivery.Routed, error) {
	v := p.pool.Get().(*vars)
	v.ctx, v.timeout = ctx, p.timeout
	into, err := p.transform(v, m, into)
	v.release()
	p.pool.Put(v)
	return into, err
}

func (p *Transformer) transform(v *vars, m *connector.Message, into []delivery.Routed) ([]delivery.Routed, error) {
	pass, err := p.read(v, m)
	if err != nil || !pass {
		return into, err
	}
	before, made := len(into), 1
	if p.split != nil {
		into, made, err = p.parts(v, into)
	} else {
		var e *cloudevent.Event
		if e, err = p.write(v); err == nil {
			into, err = p.route(v.ctx, m, e, 0, into)
		}
	}
	if err == nil && made > 0 && len(into) == before {
		err = delivery.ErrUnrouted
	}
	return into, err
}

// read finds out what event a message is, and asks the filter.
func (p *Transformer) read(v *vars, m *connector.Message) (pass bool, err error) {
	payload, err := p.incoming(v, m)
	if err != nil {
		return false, err
	}
	if v.payload = payload; len(payload) == 0 && !v.unnamed {
		v.payload = nil // a CloudEvent with no bytes of data has none
	}
	if p.filter != nil {
		if pass, err := p.filter.bool(v); err != nil || !pass {
			return false, err
		}
	}
	v.name()
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
		holds += out.Data.Len() // else they are the record's own
	}
	return v.keepEvent(out, holds), nil
}

// begin is the outgoing event but for its data. Where no expression makes an
// attribute, nothing sees a difference to the incoming one, which then becomes
// it: an event is large, and copying it costs.
func (p *Transformer) begin(v *vars) (*cloudevent.Event, error) {
	if p.output != nil {
		v.event.DataSchema = "" // it describes data that is no longer there; no expression sees it
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

// outgoing is the event in the making. The incoming one, which the expressions
// see, stays as it is.
type outgoing struct {
	cloudevent.Event
	own  bool // the extensions are no longer the incoming event's
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

// apply evaluates the expression of an attribute. Null takes an attribute
// away that may be missing.
func (a *attribute) apply(v *vars, o *outgoing) error {
	value, ok, err := a.text(v)
	if err != nil {
		return err
	}
	if a.required && value == "" {
		if !ok {
			return a.failed("it gave null, and an event cannot be without it")
		}
		return a.failed("it gave an empty text, and an event cannot be without it")
	}
	a.set(o, value)
	return nil
}
